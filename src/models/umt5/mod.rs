//! UMT5, the text encoder.

mod config;
mod encoder;
mod names;

pub use config::Config;
pub use encoder::Encoder;
pub use names::name_table;
