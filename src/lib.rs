//! Zoetrope: a text-to-video engine. A prompt goes in, a video comes out.
//!
//! The crate runs published Wan2.1 text-to-video checkpoints (in the diffusers layout) with its own tensors and ops: on
//! the CPU by SIMD kernels, on GPUs of any vendor by Vulkan shaders. [`Pipeline`] is the whole way from a prompt to
//! frames; [`models`], [`sampler`] and [`weights`] are its parts; [`ops`] on [`Tensor`]s are what the models are made of.
//!
//! ```no_run
//! use zoetrope::video::Y4m;
//! use zoetrope::weights::Mapping;
//! use zoetrope::{Device, Pipeline, Progress, Request};
//!
//! # fn window_was_closed() -> bool { false }
//! # fn main() -> zoetrope::Result<()> {
//! let pipeline = Pipeline::open("Wan2.1-T2V-1.3B-Diffusers", Mapping::Map)?;
//! let device = Device::cpu()?;
//! let request = Request { frames: 17, seed: 7, ..pipeline.request("a cat walks through snow") };
//! let mut sink = Y4m::create("cat.y4m".as_ref(), false)?;
//! pipeline.generate(&device, &request, &mut sink, &mut |progress| {
//!     if let Progress::Step { done, total } = progress {
//!         println!("step {done} of {total}");
//!     }
//!     if window_was_closed() {
//!         device.cancel().cancel(); // from here or any thread: the run ends with Error::Cancelled
//!     }
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Every stage can be used alone, and its input can be given: token ids or text embeddings as a [`Prompt`], noise as
//! [`Request::latents`], a checkpoint [in memory](weights::Checkpoint::from_memory). What binds a video beside its prompts
//! is data: [`Conditions`]. `examples/generate.rs` in the repository is a whole run; `examples/ops.rs` uses the tensor
//! engine alone.
//!
//! # Features
//!
//! None is on by default; the crate then needs Rust and nothing else.
//!
//! | feature | what it adds |
//! |---|---|
//! | `tokenizer` | prompts as text, by the checkpoint's `tokenizer.json`; without it ids or embeddings are passed in |
//! | `png` | animated PNG, and frames as PNG files in a folder |
//! | `gif` | animated GIF |
//! | `vulkan` | [GPUs](Device::vulkan) of any vendor; nothing is linked, the Vulkan loader is looked for at run time |
//! | `mp4` | H.264 in MP4; builds OpenH264 from its source, which takes a C++ compiler |
//!
//! # Guarantees
//!
//! The crate never prints, never ends the process and installs no signal handler. Bad input does not make it panic: every
//! failure is an [`Error`] that names the thing and the remedy. It reads one environment variable: `ZOETROPE_SIMD`
//! (`portable`, `avx2` or `avx512`) is the instruction set of the kernels where [`DeviceOptions::level`] leaves it open.
//!
//! **Threads.** Work runs in the rayon pool of the calling thread: `pool.install(|| pipeline.generate(..))` decides how
//! many threads it gets. Outside any pool rayon takes its global one (`RAYON_NUM_THREADS` is rayon's); this crate never
//! configures that. The result has the same bits for any number of threads.
//!
//! **Jobs.** A [`Pipeline`] is [`Sync`], and concurrent requests share its maps. A [`Device`] is a handle. Each job takes
//! one of its own by [`Device::with_cancel`], so that one can be stopped without the others; they share the device's memory
//! and its copies of weights. By default a model is dropped when its stage ends; [`Pipeline::keep_loaded`] keeps models
//! loaded for the next request.
//!
//! **Memory.** Weights stay in the pages of the mapped file, in the type in which they are stored; a file that others may
//! write to can be [read](weights::Mapping::Read) instead. Tensors take their buffers from the device's pool, which keeps
//! what was given back: as much as was in use at the same time again, 32 MiB at most. [`DeviceOptions::memory_budget`]
//! bounds tensors, and on a GPU tensors and copies of weights together; what would exceed it is [`Error::OutOfMemory`].
//! Video is decoded one latent frame at a time: no clip is ever whole in memory.
//!
//! # Ops
//!
//! Tokens are `[L, D]`, video is `[T, H, W, C]`. A `w` or `table` is a [`weights::Weight`] of any storage type, the rest are
//! [`Tensor`]s; a bias is optional. All sums are in F32. Every op checks its shapes.
//!
#![doc = include_str!("ops/table.md")]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "a library does not speak for its program")]

mod device;
mod error;
pub mod models;
mod nn;
pub mod ops;
mod pipeline;
pub mod sampler;
mod tensor;
#[cfg(feature = "tokenizer")]
pub mod text;
pub mod video;
mod vulkan;
pub mod weights;

pub use device::{Cancel, Cpu, Device, DeviceOptions, PoolStats, Precision};

/// What the project's own tools need and nobody else: it may change with any version.
#[doc(hidden)]
pub mod internals {
    pub use crate::device::identity::build;
    pub use crate::device::tuning;
    pub use crate::ops::multiply_add;
}

pub use error::{DeviceFault, Error, Result};
pub use pipeline::{
    Clean, Component, Components, Conditions, Defaults, LatentsFile, OnProgress, OnStep, Pipeline, Progress, Prompt,
    Request, SamplerState, SecondTransformer, Stage, Steps, load_latents, plan, save_latents,
};
pub use tensor::{DType, MAX_RANK, Shape, Tensor, rng};
pub use vulkan::{GpuHeap, GpuInfo, GpuKind, GpuLimits, Vulkan};
pub use zoetrope_kernels::Level as SimdLevel;
