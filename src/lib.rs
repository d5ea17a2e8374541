//! Zoetrope: a text-to-video engine. A prompt goes in, a video comes out.

mod dtype;
mod error;
mod shape;
#[cfg(feature = "tokenizer")]
pub mod text;

pub use dtype::DType;
pub use error::{Error, Result};
pub use shape::Shape;
