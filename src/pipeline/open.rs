//! The pipeline: opened once, asked often.

use std::path::Path;

use super::components::Components;
use super::defaults::Defaults;
use super::limits::Limits;
use super::progress::OnProgress;
use super::prompt::Prompt;
use super::request::{Checked, Request};
use super::warm::Warm;
use crate::device::Device;
use crate::error::Result;
use crate::models::Configs;
use crate::sampler::{Grid, Sampler, SchedulerConfig};
use crate::video::FrameSink;
use crate::weights::{Checkpoint, Mapping, Warning};

/// A text-to-video checkpoint, ready to run.
///
/// Opening maps all files and checks names and shapes against the configurations, so that a damaged VAE is found before
/// the first step and not after the last; it reads no matrix. Requests share the maps.
pub struct Pipeline {
    checkpoint: Checkpoint,
    components: Components,
    defaults: Defaults,
    warnings: Vec<Warning>,
    warm: Warm,
    keeps_loaded: bool,
}

impl Pipeline {
    /// Opens a checkpoint folder in the diffusers layout.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Checkpoint`](crate::Error::Checkpoint) or
    /// [`Error::Config`](crate::Error::Config) if something is missing, malformed or not supported.
    pub fn open(folder: impl AsRef<Path>, mapping: Mapping) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::open(folder.as_ref(), mapping)?)
    }

    /// Opens a checkpoint that was opened as such, or that is [in memory](Checkpoint::from_memory).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_checkpoint(checkpoint: Checkpoint) -> Result<Self> {
        let (components, warnings) = Components::open(&checkpoint)?;
        #[cfg(feature = "tokenizer")]
        checkpoint.tokenizer_path()?;
        let mut pipeline = Self::from_components(checkpoint, components)?;
        pipeline.warnings.extend(warnings);
        Ok(pipeline)
    }

    /// A pipeline of models that were opened one by one; tokenizer and defaults are the checkpoint's.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if the models do not fit together, else as [`open`](Self::open).
    pub fn from_components(checkpoint: Checkpoint, components: Components) -> Result<Self> {
        components.check()?;
        let (defaults, unknown) = match (&components.transformer, &components.vae, &components.scheduler) {
            (Some(transformer), Some(vae), Some(scheduler)) => {
                let limits = Limits::new(&transformer.config, &vae.config);
                let vocabulary = components.text_encoder.as_ref().map(|model| model.config.vocab_size);
                Defaults::read(&checkpoint, &limits, vocabulary, scheduler)?
            }
            _ => (Defaults::default(), None),
        };
        let warnings = Vec::from_iter(unknown);
        Ok(Self { checkpoint, components, defaults, warnings, warm: Warm::default(), keeps_loaded: false })
    }

    /// Whether models stay loaded on their device between requests, for programs that serve many: then a GPU keeps its
    /// copies of weights as far as its budget goes. By default a model is dropped when its stage ends.
    #[must_use]
    pub fn keep_loaded(mut self, keep: bool) -> Self {
        self.keeps_loaded = keep;
        self.warm.clear();
        self
    }

    /// Drops the models that [stayed loaded](Self::keep_loaded).
    pub fn unload(&self) {
        self.warm.clear();
    }

    /// The folder, its files and hashes.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The models.
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// The configurations of the models that text to video takes.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) naming the model that this pipeline does not have.
    pub fn configs(&self) -> Result<Configs> {
        Ok(Configs {
            text_encoder: self.components.need_text_encoder()?.config.clone(),
            transformer: self.components.need_transformer()?.config.clone(),
            vae: self.components.need_vae()?.config.clone(),
        })
    }

    /// What is odd about the checkpoint and no reason to stop.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What a request asks for unless it is told otherwise.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// A request for a prompt with the checkpoint's [`defaults`](Self::defaults) and seed 0.
    pub fn request(&self, prompt: impl Into<Prompt>) -> Request {
        let negative_prompt = Prompt::Text(self.defaults.negative_prompt.clone());
        Request::with_defaults(&self.defaults, prompt.into(), negative_prompt)
    }

    /// Checks a request against the models, before anything is computed.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) naming the field and the nearest value that can be done.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.check(&self.components).map(drop)
    }

    /// Checks the tensors of a run against the device's budget: those of its [`plan`](Self::plan), to the byte.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), and as [`plan`](Self::plan).
    pub fn check_memory(&self, device: &Device, request: &Request) -> Result<()> {
        device.expect(self.plan(device, request)?.tensors())
    }

    /// The number of frames nearest to `frames` that this model can make: a multiple of its temporal factor plus 1.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if the pipeline lacks the transformer or the VAE.
    pub fn nearest_frames(&self, frames: usize) -> Result<usize> {
        Ok(self.limits()?.frames().nearest(frames))
    }

    /// The largest number of frames that this model can make.
    ///
    /// # Errors
    /// As [`nearest_frames`](Self::nearest_frames).
    pub fn most_frames(&self) -> Result<usize> {
        Ok(self.limits()?.frames().most())
    }

    /// The shape `[C, T, H, W]` of the latent of a request.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn latent_shape(&self, request: &Request) -> Result<[usize; 4]> {
        Ok(request.check(&self.components)?.latent)
    }

    /// The noise levels and the solver of a request.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn schedule(&self, request: &Request) -> Result<(Grid, Sampler)> {
        let Checked { grid, sampler, .. } = request.check(&self.components)?;
        Ok((grid, sampler))
    }

    /// The checkpoint's scheduler.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if the pipeline has none.
    pub fn scheduler(&self) -> Result<&SchedulerConfig> {
        self.components.need_scheduler()
    }

    /// Generates a video: [`sample`](Self::sample), then [`decode`](Self::decode) into `sink`.
    ///
    /// # Errors
    /// Theirs.
    pub fn generate(
        &self,
        device: &Device,
        request: &Request,
        sink: &mut dyn FrameSink,
        progress: OnProgress,
    ) -> Result<()> {
        let latents = self.sample(device, request, progress)?;
        self.decode(device, &latents, request.fps, sink, progress)
    }

    fn limits(&self) -> Result<Limits> {
        Ok(Limits::new(&self.components.need_transformer()?.config, &self.components.need_vae()?.config))
    }

    pub(super) fn warm(&self) -> &Warm {
        &self.warm
    }

    pub(super) fn keeps_loaded(&self) -> bool {
        self.keeps_loaded
    }
}
