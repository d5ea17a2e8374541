//! Zoetrope: a text-to-video engine. A prompt goes in, a video comes out.
//!
//! The crate runs published Wan2.1 text-to-video checkpoints (folders in the diffusers layout) on the CPU with its own
//! tensors, ops and SIMD kernels. [`Pipeline`] is the whole way from a prompt to frames; [`models`], [`sampler`] and
//! [`weights`] are its parts; [`ops`] on [`Tensor`]s are what the models are made of.
//!
//! ```no_run
//! use zoetrope::video::Y4m;
//! use zoetrope::weights::Mapping;
//! use zoetrope::{Device, Pipeline, Prompt, Request};
//!
//! # fn main() -> zoetrope::Result<()> {
//! let pipeline = Pipeline::open("wan2.1-t2v-1.3b", Mapping::Map)?;
//! let tokens = Prompt::Tokens(vec![259, 1]); // or Prompt::Text with the feature `tokenizer`
//! let request = Request { frames: 17, seed: 7, ..Request::new(tokens, Prompt::Tokens(vec![1])) };
//! let mut sink = Y4m::create("video.y4m".as_ref(), false)?;
//! pipeline.generate(&Device::cpu()?, &request, &mut sink, &mut |progress| eprintln!("{progress:?}"))?;
//! # Ok(())
//! # }
//! ```

mod defaults;
mod device;
mod dtype;
mod error;
mod latents;
pub mod models;
mod nn;
pub mod ops;
mod output;
mod pipeline;
mod pool;
mod request;
pub mod rng;
pub mod sampler;
mod shape;
mod tensor;
#[cfg(feature = "tokenizer")]
pub mod text;
pub mod video;
pub mod weights;

pub use defaults::Defaults;
pub use device::{Cancel, Cpu, Device, DeviceOptions};
pub use dtype::DType;
pub use error::{Error, Result};
pub use latents::{LatentsFile, load_latents, save_latents};
pub use pipeline::Pipeline;
pub use pool::PoolStats;
pub use request::{OnProgress, Progress, Prompt, Request, Steps};
pub use shape::{MAX_RANK, Shape};
pub use tensor::Tensor;
pub use zoetrope_kernels::Level as SimdLevel;
