//! Zoetrope: a text-to-video engine. A prompt goes in, a video comes out.

mod dtype;
mod error;
pub mod models;
mod shape;
pub mod weights;

pub use dtype::DType;
pub use error::{Error, Result};
pub use shape::Shape;
