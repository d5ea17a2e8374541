//! The diffusion transformer.

mod config;
mod names;

pub use config::Config;
pub use names::name_table;
