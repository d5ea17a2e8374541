//! Kernels of the Zoetrope text-to-video engine: slices in, slices out.

mod activation;
mod arch;
mod conv3d;
mod elementwise;
mod embedding;
mod exec;
mod gemm;
mod layout;
mod math;
mod norm;
mod probe;
mod rope;
mod scratch;
mod simd;
mod stored;
mod tasks;
#[cfg(test)]
mod testing;

pub use activation::activate;
pub use conv3d::{Conv3d, conv3d};
pub use elementwise::{add, affine, clamp, gated_add, modulate, mul};
pub use embedding::embedding;
pub use exec::{Exec, Level, LevelError};
pub use gemm::{Activation, linear};
pub use layout::{channels_first, channels_last, interleave_frames, patchify, unpatchify, upsample_nearest};
pub use norm::{channel_norm, channel_norm_silu, layer_norm, rms_norm};
pub use probe::probe;
pub use rope::rope;
pub use stored::Stored;
