//! The causal video autoencoder.

mod config;
mod decoder;
mod names;
mod resblock;

pub use config::Config;
pub use decoder::{Decoder, DecoderState};
pub use names::name_table;
