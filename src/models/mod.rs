//! The models of Wan text-to-video: configurations, name tables, forward passes.

mod check;
mod configs;
pub mod umt5;
pub mod wan;
pub mod wan_vae;

pub use configs::Configs;
