//! Whether clips of moving shapes show what was asked for, judged by their pixels alone.
//!
//! [`world`] holds the words that the small checkpoint knows and the combinations that its training never saw; [`see()`] looks
//! at frames; [`score`] counts.

pub mod score;
pub mod see;
pub mod world;

pub use score::Tally;
pub use see::{Seen, see};
pub use world::{Attributes, Colour, Ground, Motion, Shape};
