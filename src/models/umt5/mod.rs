//! UMT5, the text encoder.

mod config;
mod names;

pub use config::Config;
pub use names::name_table;
