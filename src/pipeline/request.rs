//! What a run is asked for.

use super::components::Components;
use super::conditions::Conditions;
use super::defaults::Defaults;
use super::limits::Limits;
use super::prompt::Prompt;
use crate::error::{Error, Result};
use crate::sampler::{Grid, Guidance, Sampler, Schedule, SchedulerConfig, Solver};
use crate::video::FrameRate;

/// The steps of a run.
#[derive(Clone, Debug)]
pub enum Steps {
    /// A named grid.
    Schedule {
        /// Its name.
        schedule: Schedule,
        /// How many steps.
        steps: usize,
        /// The shift towards noise; the checkpoint's if `None`.
        shift: Option<f64>,
    },
    /// These noise levels, strictly falling, without the final 0; timesteps are 1000 times them, unrounded.
    Sigmas(Vec<f64>),
}

impl Steps {
    /// The noise levels for a checkpoint's scheduler.
    ///
    /// # Errors
    /// [`Error::Request`] naming the value that cannot be done.
    pub fn grid(&self, scheduler: &SchedulerConfig) -> Result<Grid> {
        match self {
            Self::Schedule { schedule, steps, shift } => schedule.grid(scheduler, *steps, *shift),
            Self::Sigmas(sigmas) => Grid::custom(sigmas, None),
        }
    }
}

/// What to generate. [`Pipeline::request`](crate::Pipeline::request) fills one with a checkpoint's defaults.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the video shows.
    pub prompt: Prompt,
    /// What it does not; used where guidance is above 1.
    pub negative_prompt: Prompt,
    /// Pixels across: a multiple of the VAE's spatial factor times the transformer's patch (16 for Wan).
    pub width: usize,
    /// Pixels down: likewise.
    pub height: usize,
    /// Frames: a multiple of the VAE's temporal factor (4 for Wan) plus 1.
    pub frames: usize,
    /// Frames a second, for the file; the model does not know it.
    pub fps: FrameRate,
    /// The step grid.
    pub steps: Steps,
    /// The solver; the one that the checkpoint's scheduler names if `None`.
    pub sampler: Option<Sampler>,
    /// Scale of classifier-free guidance; one branch is computed at 1 and below.
    pub guidance: f32,
    /// The scale for the steps of a second transformer; that of the first if `None`.
    pub guidance_2: Option<f32>,
    /// Seed of the noise.
    pub seed: u64,
    /// Start from these latents `[C, T, H, W]` (F32, normalised) in place of noise.
    pub latents: Option<Vec<f32>>,
    /// What the video is bound to beside its prompts.
    pub conditions: Conditions,
}

impl Request {
    /// Wan's defaults for these prompts: 832x480, 81 frames, 16 fps, 50 steps, guidance 5, seed 0.
    pub fn new(prompt: Prompt, negative_prompt: Prompt) -> Self {
        Self::with_defaults(&Defaults::default(), prompt, negative_prompt)
    }

    /// What `defaults` ask for with these prompts, seed 0.
    pub(super) fn with_defaults(defaults: &Defaults, prompt: Prompt, negative_prompt: Prompt) -> Self {
        Self {
            prompt,
            negative_prompt,
            width: defaults.width,
            height: defaults.height,
            frames: defaults.frames,
            fps: defaults.fps,
            steps: Steps::Schedule { schedule: Schedule::default(), steps: defaults.steps, shift: None },
            sampler: None,
            guidance: defaults.guidance,
            guidance_2: None,
            seed: 0,
            latents: None,
            conditions: Conditions::default(),
        }
    }

    /// Whether any step needs the negative prompt.
    pub fn is_guided(&self) -> bool {
        self.guidance > 1.0 || self.guidance_2.is_some_and(|guidance| guidance > 1.0)
    }

    /// The prompts that are encoded: the negative one only if guidance needs it.
    pub fn prompts(&self) -> Vec<&Prompt> {
        let negative = self.is_guided().then_some(&self.negative_prompt);
        std::iter::once(&self.prompt).chain(negative).collect()
    }

    /// Checks the request against what the models can do.
    pub(super) fn check(&self, components: &Components) -> Result<Checked> {
        let (transformer, vae) = (&components.need_transformer()?.config, &components.need_vae()?.config);
        let scheduler = components.need_scheduler()?;
        let limits = Limits::new(transformer, vae);
        limits.check_size(self.width, self.height)?;
        limits.frames().check(self.frames)?;
        if self.fps.is_zero() {
            return Err(Error::Request { what: "fps", why: "it must be above 0".into() });
        }
        let latent = limits.latent(self.frames, self.height, self.width);
        if let Some(latents) = self.latents.as_ref().filter(|l| l.len() != latent.iter().product::<usize>()) {
            let why = format!("{} values given, this size needs {latent:?}", latents.len());
            return Err(Error::Request { what: "latents", why });
        }
        if self.latents.as_ref().is_some_and(|latents| latents.iter().any(|value| !value.is_finite())) {
            return Err(Error::Request { what: "latents", why: "some are not finite numbers".into() });
        }
        self.conditions.check(latent, transformer)?;
        let grid = self.steps.grid(scheduler)?;
        let sampler = self.sampler.unwrap_or(scheduler.sampler());
        Solver::new(sampler, &grid)?;
        let guidance = Guidance::new(self.guidance)?;
        let guidance = [guidance, self.guidance_2.map_or(Ok(guidance), Guidance::new)?];
        let text_encoder = components.text_encoder.as_ref().map(|model| &model.config);
        for (what, prompt) in ["prompt", "negative prompt"].into_iter().zip(self.prompts()) {
            prompt.check(what, text_encoder, transformer)?;
        }
        Ok(Checked { latent, grid, sampler, guidance })
    }
}

/// What a request that was checked comes to.
pub(super) struct Checked {
    /// `[C, T, H, W]` of the latent.
    pub latent: [usize; 4],
    pub grid: Grid,
    pub sampler: Sampler,
    /// For the steps of the first and of the second transformer.
    pub guidance: [Guidance; 2],
}
