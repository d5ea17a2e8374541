//! Makes the clips that are judged, in this process.

use std::path::Path;

use program::bundled;
use zoetrope::video::Frame;
use zoetrope::weights::Mapping;
use zoetrope::{Device, Pipeline, Request, Result, Steps, Tensor};

/// A checkpoint and how to run it; what is not set is the checkpoint's own.
pub struct Maker {
    pipeline: Pipeline,
    /// Where clips are made: the processor, at first.
    pub device: Device,
    /// Where their frames are decoded: the same device or the processor.
    pub decoder: Device,
    /// Guidance; 1 is the conditional branch alone.
    pub guidance: Option<f32>,
    /// Sampling steps.
    pub steps: Option<usize>,
}

impl Maker {
    /// Opens a folder, or the checkpoint that is bundled with `generate`.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let pipeline = match folder {
            Some(folder) => Pipeline::open(folder, Mapping::Map)?,
            None => bundled::open()?,
        };
        let device = Device::cpu()?;
        Ok(Self { pipeline, decoder: device.clone(), device, guidance: None, steps: None })
    }

    /// The guidance of the next clip.
    pub fn guidance(&self) -> f32 {
        self.guidance.unwrap_or_else(|| self.pipeline.request("").guidance)
    }

    /// The frames of a prompt.
    pub fn clip(&self, prompt: &str, seed: u64) -> Result<Vec<Frame>> {
        let base = self.pipeline.request(prompt);
        let steps = match (base.steps, self.steps) {
            (Steps::Schedule { schedule, shift, .. }, Some(steps)) => Steps::Schedule { schedule, steps, shift },
            (steps, _) => steps,
        };
        let request = Request { seed, guidance: self.guidance(), steps, ..self.pipeline.request(prompt) };
        let mut frames = Vec::new();
        let mut latents = self.pipeline.sample(&self.device, &request, &mut |_| {})?;
        if self.device.is_gpu() && !self.decoder.is_gpu() {
            latents = Tensor::from_slice(&self.decoder, latents.shape(), &latents.values()?)?;
        }
        self.pipeline.decode(&self.decoder, &latents, request.fps, &mut frames, &mut |_| {})?;
        Ok(frames)
    }
}
