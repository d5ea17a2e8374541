//! What a run is asked for, and how far it is.

use crate::error::{Error, Result};
use crate::models::Configs;
use crate::sampler::{Grid, Guidance, Sampler, Schedule, SchedulerConfig, Solver};

/// Larger sides and longer videos are mistakes; the bound keeps all arithmetic on sizes far from overflow.
const MAX_PIXELS: usize = 16_384;
const MAX_FRAMES: usize = 100_001;

/// What the video should show.
#[derive(Clone, Debug)]
pub enum Prompt {
    /// Text, cleaned and tokenized as the checkpoint's tokenizer.json says.
    #[cfg(feature = "tokenizer")]
    Text(String),
    /// Token ids with the end token, at most 512.
    Tokens(Vec<u32>),
}

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

/// What to generate. The defaults but for the prompts are Wan's own.
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
    pub fps: u32,
    /// The step grid.
    pub steps: Steps,
    /// The solver; the one that the checkpoint's scheduler names if `None`.
    pub sampler: Option<Sampler>,
    /// Scale of classifier-free guidance; one branch is computed at 1 and below.
    pub guidance: f32,
    /// Seed of the noise.
    pub seed: u64,
    /// Start from these latents `[C, T, H, W]` (F32, normalised) in place of noise.
    pub latents: Option<Vec<f32>>,
}

impl Request {
    /// Wan's defaults for these prompts: 832x480, 81 frames, 16 fps, 50 steps, guidance 5, seed 0.
    pub fn new(prompt: Prompt, negative_prompt: Prompt) -> Self {
        Self {
            prompt,
            negative_prompt,
            width: 832,
            height: 480,
            frames: 81,
            fps: 16,
            steps: Steps::Schedule { schedule: Schedule::default(), steps: 50, shift: None },
            sampler: None,
            guidance: 5.0,
            seed: 0,
            latents: None,
        }
    }

    /// The prompts that are encoded: the negative one only if guidance needs it.
    pub(crate) fn prompts(&self, guidance: Guidance) -> Vec<&Prompt> {
        let negative = guidance.needs_uncond().then_some(&self.negative_prompt);
        std::iter::once(&self.prompt).chain(negative).collect()
    }

    /// Holds the request against a checkpoint's configurations.
    pub(crate) fn check(&self, configs: &Configs, scheduler: &SchedulerConfig) -> Result<Checked> {
        let Configs { transformer, vae, .. } = configs;
        let (factor, scale) = (vae.temporal_factor(), vae.spatial_factor());
        let [_, ph, pw] = transformer.patch_size;
        for (what, pixels, unit) in [("width", self.width, scale * pw), ("height", self.height, scale * ph)] {
            let most = (MAX_PIXELS / unit).min(transformer.rope_max_seq_len) * unit;
            if pixels > most {
                return Err(Error::Request { what, why: format!("{pixels} is too many; at most {most} can be done") });
            }
            if pixels == 0 || pixels % unit != 0 {
                let nearest = ((pixels + unit / 2) / unit * unit).clamp(unit, most);
                let why = format!("{pixels} is no multiple of {unit}; the nearest is {nearest}");
                return Err(Error::Request { what, why });
            }
        }
        let frames = self.frames;
        let FrameGrid { first, unit, most } = FrameGrid::new(configs);
        if frames > most {
            let why = format!("{frames} is too many; at most {most} can be done");
            return Err(Error::Request { what: "frames", why });
        }
        if frames < first || !(frames - first).is_multiple_of(unit) {
            let nearest = FrameGrid { first, unit, most }.nearest(frames);
            let why = format!(
                "{frames} is not one of {first}, {}, {}, ...; the nearest is {nearest}",
                first + unit,
                first + 2 * unit
            );
            return Err(Error::Request { what: "frames", why });
        }
        if self.fps == 0 {
            return Err(Error::Request { what: "fps", why: "it must be at least 1".into() });
        }
        let latent_frames = (frames - 1) / factor + 1;
        let latent = [transformer.in_channels, latent_frames, self.height / scale, self.width / scale];
        if let Some(latents) = self.latents.as_ref().filter(|l| l.len() != latent.iter().product::<usize>()) {
            let why = format!("{} values given, this size needs {latent:?}", latents.len());
            return Err(Error::Request { what: "latents", why });
        }
        if self.latents.as_ref().is_some_and(|latents| latents.iter().any(|value| !value.is_finite())) {
            return Err(Error::Request { what: "latents", why: "some are not finite numbers".into() });
        }
        let grid = match &self.steps {
            Steps::Schedule { schedule, steps, shift } => schedule.grid(scheduler, *steps, *shift)?,
            Steps::Sigmas(sigmas) => Grid::custom(sigmas, None)?,
        };
        let sampler = self.sampler.unwrap_or(scheduler.sampler());
        Solver::new(sampler, &grid)?;
        Ok(Checked { latent, grid, sampler, guidance: Guidance::new(self.guidance)? })
    }
}

/// How far a run is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A stage loads its weights: "text encoder", "transformer", "VAE decoder".
    Loading(&'static str),
    /// A prompt was longer than the model reads.
    PromptCut {
        /// Which of the prompts, counted from 0: the prompt, then the negative one.
        prompt: usize,
        /// What was cut off its end.
        text: String,
    },
    /// So many sampling steps are done.
    Step {
        /// Done.
        done: usize,
        /// Of these.
        total: usize,
    },
    /// So many frames are decoded.
    Frame {
        /// Done.
        done: usize,
        /// Of these.
        total: usize,
    },
}

/// A callback that is told of progress. To stop a run, use the device's [`Cancel`](crate::Cancel).
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// A request that was held against the checkpoint.
pub(crate) struct Checked {
    /// `[C, T, H, W]` of the latent.
    pub latent: [usize; 4],
    pub grid: Grid,
    pub sampler: Sampler,
    pub guidance: Guidance,
}

/// The numbers of frames that a model can make: `first`, and `unit` more each time, up to `most`.
pub(crate) struct FrameGrid {
    first: usize,
    unit: usize,
    most: usize,
}

impl FrameGrid {
    pub fn new(configs: &Configs) -> Self {
        let (factor, pt) = (configs.vae.temporal_factor(), configs.transformer.patch_size[0]);
        let unit = factor * pt;
        // Latent frames come in multiples of the patch; of latent frames, the first is one frame, the rest `factor`.
        let first = unit - factor + 1;
        let patches = (MAX_FRAMES / unit).min(configs.transformer.rope_max_seq_len);
        Self { first, unit, most: patches.saturating_sub(1) * unit + first }
    }

    /// The nearest number on the grid; of two equally near the larger.
    pub fn nearest(&self, frames: usize) -> usize {
        let over = frames.min(self.most).saturating_sub(self.first);
        ((over + self.unit / 2) / self.unit * self.unit + self.first).min(self.most)
    }
}
