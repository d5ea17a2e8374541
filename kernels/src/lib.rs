//! Kernels of the Zoetrope text-to-video engine: slices in, slices out.
//!
//! There is no tensor type here, and almost no allocation. A kernel takes numbers as slices with a shape beside
//! them, channels last and row-major, and fills a slice that the caller owns. It asserts what the shape promises; the
//! engine's ops check the same beforehand and turn it into errors.
//!
//! - [`Exec`] says how to run: with which instructions ([`Level`]) and until when (a flag that stops the work).
//!   [`Level::detect`] picks the fastest instructions of the machine; `ZOETROPE_SIMD=portable`, `avx2` or `avx512` forces one.
//! - [`Stored`] is a checkpoint's weight where it lies: `f32`, `f16` or `bf16` bytes at any alignment. Kernels widen it
//!   piece by piece; no converted copy of a weight ever exists. All arithmetic is `f32`.
//! - [`linear`], [`conv3d`] and [`attention`] are where the time goes. They share one register tile and its packing.
//! - Work is divided into tasks for the current `rayon` pool by the shape alone: at one level, results have the same bits on
//!   any number of threads. Between levels they differ by rounding.
//!
//! Inside, each kernel is one generic body over `simd::Simd`, a vocabulary of sixteen-lane vectors, compiled once for each
//! backend in `arch`: `portable` is what the whole build may use, `avx2` and `avx512` are entered through functions that
//! switch the instructions on after the machine was asked. All unsafe code of the crate is in `arch`.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use zoetrope_kernels::{Activation, Exec, Level, linear};
//!
//! let stop = AtomicBool::new(false);
//! let exec = Exec { level: Level::detect()?, stop: &stop };
//! let (x, w) = ([1.0, 2.0], [3.0, 4.0, 5.0, 6.0]);
//! let mut out = [0.0; 2];
//! linear(exec, &x, (&w[..]).into(), 1, 2, 2, None, Activation::None, &mut out);
//! assert_eq!(out, [11.0, 17.0]);
//! # Ok::<(), zoetrope_kernels::LevelError>(())
//! ```

mod activation;
mod arch;
mod attention;
mod conv3d;
mod elementwise;
mod embedding;
mod exec;
mod gemm;
mod layout;
mod level;
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

pub use activation::{Activation, activate};
pub use attention::{Attention, AttentionBias, attention};
pub use conv3d::{Conv3d, Onto, conv3d, conv3d_winograd};
pub use elementwise::{add, affine, clamp, gated_add, modulate, mul};
pub use embedding::embedding;
pub use exec::Exec;
pub use gemm::{linear, linear_add, linear_scratch};
pub use layout::{channels_first, channels_last, copy, interleave_frames, patchify, unpatchify, upsample_nearest};
pub use level::{Level, LevelError};
pub use norm::{channel_norm, layer_norm, rms_norm};
pub use probe::probe;
pub use rope::rope;
pub use stored::Stored;

/// The hash of this crate's sources, 16 hexadecimal digits: FNV-1a with 64 bits over the names and texts of `src/**/*.rs`,
/// in the order of their names, without carriage returns.
///
/// Two builds with the same hash have the same kernels. It tells builds apart whose version is the same; it is no
/// protection against forgery.
pub const SOURCE_HASH: &str = env!("ZOETROPE_KERNELS_SOURCE_HASH");
