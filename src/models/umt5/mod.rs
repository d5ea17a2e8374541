//! UMT5, the text encoder.

mod config;
mod names;

pub use config::Umt5Config;
