//! The diffusion transformer.

mod config;
mod names;

pub use config::WanConfig;
