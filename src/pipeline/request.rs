//! What a run is asked for, and how far it is.

use std::fmt;

use crate::error::{Error, Result};
use crate::models::{Configs, wan};
use crate::pipeline::defaults::Defaults;
use crate::sampler::{Grid, Guidance, Sampler, Schedule, SchedulerConfig, Solver};
use crate::tensor::Tensor;
use crate::video::FrameRate;

/// Larger sides and longer videos are mistakes; the bound keeps all arithmetic on sizes far from overflow.
const MAX_PIXELS: usize = 16_384;
const MAX_FRAMES: usize = 100_001;

/// What the video should show, as far along the way to the transformer as the caller has brought it.
#[derive(Clone)]
pub enum Prompt {
    /// Text, cleaned and tokenized as the checkpoint's tokenizer.json says. Without the feature `tokenizer` only the empty
    /// text can be done.
    Text(String),
    /// Token ids with the end token, at most 512.
    Tokens(Vec<u32>),
    /// What [`Pipeline::encode`](crate::Pipeline::encode) makes of a prompt: `[L, text_dim]` without padding, L at most
    /// 512, on any device. The text encoder is not touched then.
    Embeddings(Tensor),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Tokens(ids) => f.debug_tuple("Tokens").field(ids).finish(),
            // A million numbers tell nobody anything.
            Self::Embeddings(text) => write!(f, "Embeddings({})", text.shape()),
        }
    }
}

impl Prompt {
    /// Holds what can be held against the configurations before anything is read; `what` is the request's field.
    pub(crate) fn check(&self, what: &'static str, configs: &Configs) -> Result<()> {
        let refuse = |why: String| Err(Error::Request { what, why });
        match self {
            Self::Text(text) if !cfg!(feature = "tokenizer") && !text.trim().is_empty() => refuse(
                "this build reads no text; switch the feature `tokenizer` on, or pass token ids or embeddings".into(),
            ),
            Self::Text(_) => Ok(()),
            Self::Tokens(ids) if ids.len() > wan::MAX_TEXT_TOKENS => {
                refuse(format!("{} token ids given, the model reads at most {}", ids.len(), wan::MAX_TEXT_TOKENS))
            }
            Self::Tokens(ids) => configs.text_encoder.check_ids(what, ids),
            Self::Embeddings(text) => {
                let width = configs.transformer.text_dim;
                let fits = matches!(text.dims(), &[l, d] if (1..=wan::MAX_TEXT_TOKENS).contains(&l) && d == width);
                if !fits {
                    let (found, most) = (text.shape(), wan::MAX_TEXT_TOKENS);
                    return refuse(format!("embeddings of shape {found} given, expected [1 to {most}, {width}]"));
                }
                if !text.is_finite()? {
                    return refuse("some of the embeddings are not finite numbers; encode the prompt again".into());
                }
                Ok(())
            }
        }
    }
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
    /// Seed of the noise.
    pub seed: u64,
    /// Start from these latents `[C, T, H, W]` (F32, normalised) in place of noise.
    pub latents: Option<Vec<f32>>,
}

impl Request {
    /// Wan's defaults for these prompts: 832x480, 81 frames, 16 fps, 50 steps, guidance 5, seed 0.
    pub fn new(prompt: Prompt, negative_prompt: Prompt) -> Self {
        Defaults::default().request(prompt, negative_prompt)
    }

    /// The prompts that are encoded: the negative one only if guidance needs it.
    pub(crate) fn prompts(&self, guidance: Guidance) -> Vec<&Prompt> {
        let negative = guidance.needs_uncond().then_some(&self.negative_prompt);
        std::iter::once(&self.prompt).chain(negative).collect()
    }

    /// Holds the request against a checkpoint's configurations.
    pub(crate) fn check(&self, configs: &Configs, scheduler: &SchedulerConfig) -> Result<Checked> {
        let Configs { transformer, vae, .. } = configs;
        check_size(self.width, self.height, configs)?;
        FrameGrid::new(configs).check(self.frames)?;
        if self.fps.is_zero() {
            return Err(Error::Request { what: "fps", why: "it must be above 0".into() });
        }
        let (factor, scale) = (vae.temporal_factor(), vae.spatial_factor());
        let latent_frames = (self.frames - 1) / factor + 1;
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
        let guidance = Guidance::new(self.guidance)?;
        self.prompt.check("prompt", configs)?;
        if guidance.needs_uncond() {
            self.negative_prompt.check("negative prompt", configs)?;
        }
        Ok(Checked { latent, grid, sampler, guidance })
    }
}

/// Holds width and height against the sizes that a model can make.
pub(crate) fn check_size(width: usize, height: usize, configs: &Configs) -> Result<()> {
    let scale = configs.vae.spatial_factor();
    let [_, ph, pw] = configs.transformer.patch_size;
    for (what, pixels, unit) in [("width", width, scale * pw), ("height", height, scale * ph)] {
        let most = (MAX_PIXELS / unit).min(configs.transformer.rope_max_seq_len) * unit;
        if pixels > most {
            return Err(Error::Request { what, why: format!("{pixels} is too many; at most {most} can be done") });
        }
        if pixels == 0 || pixels % unit != 0 {
            let nearest = ((pixels + unit / 2) / unit * unit).clamp(unit, most);
            let why = format!("{pixels} is no multiple of {unit}; the nearest is {nearest}");
            return Err(Error::Request { what, why });
        }
    }
    Ok(())
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

    /// Holds a number of frames against the grid.
    pub fn check(&self, frames: usize) -> Result<()> {
        let Self { first, unit, most } = *self;
        let refuse = |why: String| Err(Error::Request { what: "frames", why });
        if frames > most {
            return refuse(format!("{frames} is too many; at most {most} can be done"));
        }
        if frames < first || !(frames - first).is_multiple_of(unit) {
            let (second, third, nearest) = (first + unit, first + 2 * unit, self.nearest(frames));
            return refuse(format!("{frames} is not one of {first}, {second}, {third}, ...; the nearest is {nearest}"));
        }
        Ok(())
    }

    /// The nearest number on the grid; of two equally near the larger.
    pub fn nearest(&self, frames: usize) -> usize {
        let over = frames.min(self.most).saturating_sub(self.first);
        ((over + self.unit / 2) / self.unit * self.unit + self.first).min(self.most)
    }
}
