//! Convolution over time, height and width: by direct sums, and by Winograd's algorithm.

mod direct;
mod shape;
#[cfg(test)]
mod tests;
mod winograd;

pub use direct::conv3d;
pub use shape::{Conv3d, Onto};
pub use winograd::conv3d_winograd;
