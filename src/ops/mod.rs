//! Ops: one file each, with the shape check and an arm per device.
//!
//! Layout is channels-last: tokens are `[L, D]`, video is `[T, H, W, C]`. Ops that take their first tensor by value
//! write in place when nobody else holds its buffer. An op runs where its first tensor lives.
//!
//! Besides the errors that each op names, all give [`Error::Cancelled`](crate::Error::Cancelled) once their device was asked to stop and
//! [`Error::OutOfMemory`](crate::Error::OutOfMemory) where their result, or the copy of a shared tensor, does not fit the device's budget.
//!
#![doc = include_str!("table.md")]

mod activation;
mod arithmetic;
mod attention;
mod checks;
mod concat;
mod conv3d;
mod dispatch;
mod embedding;
mod frames;
mod layout;
mod linear;
mod modulate;
mod norm;
mod patch;
mod probe;
mod rope;
mod trial;
mod upsample;

pub use crate::tensor::OutputType;
pub use activation::activate;
pub use arithmetic::{add, affine, clamp, mul};
pub use attention::{AttentionBias, KeyValue, attention};
pub use concat::concat;
pub use conv3d::{Conv3dParams, conv3d, conv3d_add};
pub use embedding::embedding;
pub use frames::{interleave_frames, last_frames};
pub use layout::{channels_first, channels_last, repeat_rows};
pub use linear::{linear, linear_add};
pub use modulate::{gated_add, modulate};
pub use norm::{channel_norm, layer_norm, rms_norm, rms_norm_rope};
pub use patch::{patchify, unpatchify};
pub use rope::rope;
pub use upsample::upsample_nearest;
pub use zoetrope_kernels::Activation;

pub use probe::Arithmetic;
#[doc(hidden)]
pub use probe::multiply_add;
