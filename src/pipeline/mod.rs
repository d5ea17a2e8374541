//! From a request to frames: text, sampling, decoding, one stage after the other.
//!
//! A stage loads its weights when it starts and drops them when it ends, unless the pipeline is told to stay warm. Data
//! flows one way: text embeddings, latents, frames; nothing holds the whole clip in RGB.

mod components;
mod conditions;
mod decode;
mod defaults;
mod denoise;
mod encode;
mod latents;
mod limits;
mod loaded;
mod open;
pub mod plan;
mod probe;
mod progress;
mod prompt;
mod request;
mod stage;
mod warm;

pub use components::{Component, Components, SecondTransformer};
pub use conditions::{Clean, Conditions};
pub use defaults::Defaults;
pub use latents::{LatentsFile, load_latents, save_latents};
pub use open::Pipeline;
pub use progress::{OnProgress, OnStep, Progress, SamplerState};
pub use prompt::Prompt;
pub use request::{Request, Steps};
pub use stage::Stage;
