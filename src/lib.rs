//! Zoetrope: a text-to-video engine. A prompt goes in, a video comes out.

mod dtype;
mod error;
pub mod rng;
pub mod sampler;
mod shape;
pub mod video;

pub use dtype::DType;
pub use error::{Error, Result};
pub use shape::Shape;
