//! Whether clips of moving shapes show what was asked for, judged by their pixels alone.
//!
//! [`world`] holds the words that the small checkpoint knows and the combinations that its training never saw; [`make`] makes
//! clips; [`see()`] looks at frames; [`score`] counts.

pub mod make;
pub mod score;
pub mod see;
pub mod world;

pub use make::Maker;
pub use score::Tally;
pub use see::{Object, Seen, see, see_all};
pub use world::{Attributes, Colour, Ground, Motion, Pair, Shape};
