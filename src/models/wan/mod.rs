//! The diffusion transformer.

mod block;
mod config;
mod embed;
mod names;
mod times;
mod transformer;

pub use config::{Config, MAX_TEXT_TOKENS};
pub use names::name_table;
pub use times::Times;
pub use transformer::{TextContext, Transformer};
