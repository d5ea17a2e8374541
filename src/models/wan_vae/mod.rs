//! The causal video autoencoder.

mod config;
mod names;

pub use config::WanVaeConfig;
