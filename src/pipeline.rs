//! From a request to frames: text, sampling, decoding, one stage after the other.
//!
//! A stage loads its weights when it starts and drops them when it ends. Data flows one way: text embeddings, latents,
//! frames; nothing holds the whole clip in RGB.

use std::path::Path;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::models::{Configs, umt5, wan, wan_vae};
use crate::rng;
use crate::sampler::{Grid, Guidance, Sampler, Schedule, SchedulerConfig, Solver};
use crate::tensor::Tensor;
use crate::video::{Frame, FrameSink, VideoInfo};
use crate::weights::{Checkpoint, Mapping, NameTable, Warning, Weights};

/// A Wan2.1 text-to-video checkpoint, ready to run.
///
/// Opening maps all files and holds names and shapes against the configurations, so that a damaged VAE is found before
/// the first step and not after the last; it reads no matrix. Requests share the maps.
pub struct Pipeline {
    checkpoint: Checkpoint,
    configs: Configs,
    scheduler: SchedulerConfig,
    text_encoder: Weights,
    transformer: Weights,
    vae: Weights,
    warnings: Vec<Warning>,
}

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
struct Checked {
    /// `[C, T, H, W]` of the latent.
    latent: [usize; 4],
    grid: Grid,
    sampler: Sampler,
    guidance: Guidance,
}

impl Pipeline {
    /// Opens a checkpoint folder in the diffusers layout.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`] or [`Error::Config`] if something is missing, malformed or not supported.
    pub fn open(folder: impl AsRef<Path>, mapping: Mapping) -> Result<Self> {
        let checkpoint = Checkpoint::open(folder.as_ref(), mapping)?;
        let configs = Configs::read(&checkpoint)?;
        let scheduler = SchedulerConfig::open(&checkpoint.config_path("scheduler"), checkpoint.class("scheduler"))?;
        let mut warnings = Vec::new();
        let mut component = |name, table: &NameTable| {
            let (weights, extra) = checkpoint.component(name, table)?;
            warnings.extend(extra);
            Ok::<_, Error>(weights)
        };
        #[cfg(feature = "tokenizer")]
        checkpoint.tokenizer_path()?;
        let text_encoder = component("text_encoder", &umt5::name_table(&configs.text_encoder))?;
        let transformer = component("transformer", &wan::name_table(&configs.transformer))?;
        let vae = component("vae", &wan_vae::name_table(&configs.vae))?;
        Ok(Self { checkpoint, configs, scheduler, text_encoder, transformer, vae, warnings })
    }

    /// The folder, its files and hashes.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What is odd about the checkpoint and no reason to stop.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Holds a request against the checkpoint; reads no weights.
    ///
    /// # Errors
    /// [`Error::Request`] naming the field and the nearest value that can be done.
    pub fn check(&self, request: &Request) -> Result<()> {
        self.checked(request).map(drop)
    }

    /// The shape `[C, T, H, W]` of the latent of a request.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn latent_shape(&self, request: &Request) -> Result<[usize; 4]> {
        Ok(self.checked(request)?.latent)
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

    /// From a request to final latents `[C, T, H, W]`, normalised as the transformer sees them.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Checkpoint`], [`Error::Tokenizer`], [`Error::NotFinite`], [`Error::OutOfMemory`],
    /// [`Error::Cancelled`].
    pub fn sample(&self, device: &Device, request: &Request, progress: OnProgress) -> Result<Tensor> {
        let Checked { latent, grid, sampler, guidance } = self.checked(request)?;
        let mut prompts = vec![&request.prompt];
        if guidance.needs_uncond() {
            prompts.push(&request.negative_prompt);
        }
        let text = self.encode(device, &prompts, progress)?;

        progress(Progress::Loading("transformer"));
        let transformer = wan::Transformer::load(&self.transformer, self.configs.transformer.clone(), device)?;
        let contexts = text.iter().map(|text| transformer.context(text)).collect::<Result<Vec<_>>>()?;
        let contexts: Vec<&wan::TextContext> = contexts.iter().collect();
        drop(text);

        let mut x = match &request.latents {
            Some(latents) => latents.clone(),
            None => rng::randn(request.seed, latent.iter().product()),
        };
        let mut solver = Solver::new(sampler, &grid)?;
        for (step, &timestep) in grid.timesteps().iter().enumerate() {
            let input = Tensor::from_slice(device, latent, &x)?;
            let branches = transformer.forward(&input, timestep, &contexts)?;
            let mut velocity = branches[0].to_vec();
            if let Some(uncond) = branches.get(1) {
                guidance.combine(&mut velocity, uncond.data())?;
            }
            solver.step(&velocity, &mut x)?;
            if !x.iter().all(|value| value.is_finite()) {
                return Err(Error::NotFinite { stage: "transformer", step: Some(step + 1) });
            }
            progress(Progress::Step { done: step + 1, total: grid.steps() });
        }
        drop((transformer, contexts));
        device.release_unused();
        Tensor::from_slice(device, latent, &x)
    }

    /// Text embeddings `[L, D]` of prompts, without padding.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], [`Error::Checkpoint`], [`Error::NotFinite`], [`Error::OutOfMemory`], [`Error::Cancelled`].
    pub fn encode(&self, device: &Device, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Tensor>> {
        let ids = self.tokenize(prompts, progress)?;
        progress(Progress::Loading("text encoder"));
        let encoder = umt5::Encoder::load(&self.text_encoder, self.configs.text_encoder.clone(), device)?;
        let mut texts = Vec::new();
        for ids in &ids {
            let text = encoder.forward(ids)?;
            if !text.is_finite() {
                return Err(Error::NotFinite { stage: "text encoder", step: None });
            }
            texts.push(text);
        }
        drop(encoder);
        device.release_unused();
        Ok(texts)
    }

    /// Decodes final latents `[C, T, H, W]` into `sink`, one latent frame at a time.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Checkpoint`], [`Error::NotFinite`], [`Error::OutOfMemory`], [`Error::Cancelled`] and
    /// whatever the sink returns.
    pub fn decode(
        &self,
        device: &Device,
        latents: &Tensor,
        fps: u32,
        sink: &mut dyn FrameSink,
        progress: OnProgress,
    ) -> Result<()> {
        progress(Progress::Loading("VAE decoder"));
        let decoder = wan_vae::Decoder::load(&self.vae, self.configs.vae.clone(), device)?;
        let mut state = wan_vae::DecoderState::default();
        let (factor, scale) = (self.configs.vae.temporal_factor(), self.configs.vae.spatial_factor());
        let &[_, frames, height, width] = latents.dims() else {
            let right = [self.configs.vae.z_dim, 0, 0, 0].into();
            return Err(Error::Shape { op: "decode", left: latents.shape(), right, why: "a latent is [C, T, H, W]" });
        };
        if frames == 0 {
            return Err(Error::Request { what: "latents", why: "they hold no frame".into() });
        }
        let total = factor * (frames - 1) + 1;
        sink.start(&VideoInfo { width: width * scale, height: height * scale, fps, frames: total })?;
        let mut done = 0;
        decoder.decode(&mut state, latents, &mut |video| {
            let &[count, height, width, _] = video.dims() else { unreachable!("the decoder hands on video") };
            for t in 0..count {
                device.check()?;
                sink.frame(&Frame::from_signed(width, height, video.narrow(t..t + 1)?.data())?)?;
                done += 1;
                progress(Progress::Frame { done, total });
            }
            Ok(())
        })?;
        sink.finish()
    }

    /// The ids of each prompt; tokenizer.json is read once, and only if there is text.
    #[cfg_attr(not(feature = "tokenizer"), expect(unused_variables, reason = "only text can be too long"))]
    fn tokenize(&self, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Vec<u32>>> {
        #[cfg(feature = "tokenizer")]
        let tokenizer = std::cell::OnceCell::new();
        let ids = |(index, prompt): (usize, &&Prompt)| match prompt {
            #[cfg(feature = "tokenizer")]
            Prompt::Text(text) => {
                let tokenizer = match tokenizer.get() {
                    Some(tokenizer) => tokenizer,
                    None => {
                        let read = crate::text::Tokenizer::from_file(self.checkpoint.tokenizer_path()?)?;
                        tokenizer.get_or_init(|| read)
                    }
                };
                let tokens = tokenizer.encode(&crate::text::clean(text), wan::MAX_TEXT_TOKENS)?;
                if let Some(text) = tokens.cut {
                    progress(Progress::PromptCut { prompt: index, text });
                }
                Ok(tokens.ids)
            }
            Prompt::Tokens(ids) if ids.len() > wan::MAX_TEXT_TOKENS => {
                let why = format!("{} given, the model reads at most {}", ids.len(), wan::MAX_TEXT_TOKENS);
                Err(Error::Request { what: "token ids", why })
            }
            Prompt::Tokens(ids) => Ok(ids.clone()),
        };
        prompts.iter().enumerate().map(ids).collect()
    }

    fn checked(&self, request: &Request) -> Result<Checked> {
        let Configs { transformer, vae, .. } = &self.configs;
        let (factor, scale) = (vae.temporal_factor(), vae.spatial_factor());
        let [pt, ph, pw] = transformer.patch_size;
        for (what, pixels, unit) in [("width", request.width, scale * pw), ("height", request.height, scale * ph)] {
            if pixels == 0 || pixels % unit != 0 {
                let nearest = pixels.saturating_add(unit / 2) / unit * unit;
                let why = format!("{pixels} is no multiple of {unit}; the nearest is {}", nearest.max(unit));
                return Err(Error::Request { what, why });
            }
            if pixels > MAX_PIXELS {
                return Err(Error::Request { what, why: format!("{pixels} is above {MAX_PIXELS}") });
            }
        }
        let frames = request.frames;
        let unit = factor * pt;
        let whole = frames > 0 && (frames - 1).is_multiple_of(factor) && ((frames - 1) / factor + 1).is_multiple_of(pt);
        if !whole {
            // Latent frames come in multiples of the patch; of latent frames, the first is one frame, the rest `factor`.
            let first = factor * (pt - 1) + 1;
            let nearest = frames.saturating_sub(first).saturating_add(unit / 2) / unit * unit + first;
            let why = format!(
                "{frames} is not one of {first}, {}, {}, ...; the nearest is {nearest}",
                first + unit,
                first + 2 * unit
            );
            return Err(Error::Request { what: "frames", why });
        }
        if frames > MAX_FRAMES {
            return Err(Error::Request { what: "frames", why: format!("{frames} is above {MAX_FRAMES}") });
        }
        if request.fps == 0 {
            return Err(Error::Request { what: "fps", why: "it must be at least 1".into() });
        }
        let latent_frames = (frames - 1) / factor + 1;
        let latent = [transformer.in_channels, latent_frames, request.height / scale, request.width / scale];
        transformer.check_grid([latent_frames / pt, latent[2] / ph, latent[3] / pw])?;
        if let Some(latents) = request.latents.as_ref().filter(|l| l.len() != latent.iter().product::<usize>()) {
            let why = format!("{} values given, this size needs {latent:?}", latents.len());
            return Err(Error::Request { what: "latents", why });
        }
        if request.latents.as_ref().is_some_and(|latents| latents.iter().any(|value| !value.is_finite())) {
            return Err(Error::Request { what: "latents", why: "some are not finite numbers".into() });
        }
        let grid = match &request.steps {
            Steps::Schedule { schedule, steps, shift } => schedule.grid(&self.scheduler, *steps, *shift)?,
            Steps::Sigmas(sigmas) => Grid::custom(sigmas, None)?,
        };
        let sampler = request.sampler.unwrap_or(self.scheduler.sampler());
        Ok(Checked { latent, grid, sampler, guidance: Guidance::new(request.guidance)? })
    }
}

/// Larger sides and longer videos are mistakes; the bound keeps all arithmetic on sizes far from overflow.
const MAX_PIXELS: usize = 16_384;
const MAX_FRAMES: usize = 100_001;
