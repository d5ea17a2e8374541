//! The diffusion transformer.

mod block;
mod config;
mod embed;
mod names;
mod times;
mod transformer;

pub use config::Config;
pub use names::name_table;
pub use times::Times;
pub use transformer::{TextContext, Transformer};

/// Rows of text that the transformer attends to, padding included; longer prompts are cut.
pub const MAX_TEXT_TOKENS: usize = 512;
