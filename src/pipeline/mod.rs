//! From a request to frames: text, sampling, decoding, one stage after the other.
//!
//! A stage loads its weights when it starts and drops them when it ends. Data flows one way: text embeddings, latents,
//! frames; nothing holds the whole clip in RGB.

mod defaults;
mod latents;
pub mod plan;
mod request;

pub use defaults::Defaults;
pub use latents::{LatentsFile, load_latents, save_latents};
pub use request::{OnProgress, Progress, Prompt, Request, Steps};

use std::path::Path;

use self::request::{Checked, FrameGrid};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::models::{Configs, umt5, wan, wan_vae};
use crate::sampler::{Grid, Sampler, SchedulerConfig, Solver};
use crate::tensor::Tensor;
use crate::tensor::rng;
#[cfg(feature = "tokenizer")]
use crate::text;
use crate::video::{Frame, FrameRate, FrameSink, VideoInfo};
use crate::weights::{Checkpoint, Mapping, NameTable, Warning, Weights};

/// A Wan2.1 text-to-video checkpoint, ready to run.
///
/// Opening maps all files and holds names and shapes against the configurations, so that a damaged VAE is found before
/// the first step and not after the last; it reads no matrix. Requests share the maps.
pub struct Pipeline {
    checkpoint: Checkpoint,
    pub(crate) configs: Configs,
    pub(crate) scheduler: SchedulerConfig,
    pub(crate) text_encoder: Weights,
    pub(crate) transformer: Weights,
    pub(crate) vae: Weights,
    defaults: Defaults,
    warnings: Vec<Warning>,
}

impl Pipeline {
    /// Opens a checkpoint folder in the diffusers layout.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`] or [`Error::Config`] if something is missing, malformed or not supported.
    pub fn open(folder: impl AsRef<Path>, mapping: Mapping) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::open(folder.as_ref(), mapping)?)
    }

    /// Opens a checkpoint that was opened as such, or that is [in memory](Checkpoint::from_memory).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_checkpoint(checkpoint: Checkpoint) -> Result<Self> {
        checkpoint.check_complete()?;
        let configs = Configs::read(&checkpoint)?;
        let file = checkpoint.config_path("scheduler");
        let scheduler = SchedulerConfig::of_class(checkpoint.object(&file)?, &file, checkpoint.class("scheduler"))?;
        let (defaults, unknown) = Defaults::read(&checkpoint, &configs, &scheduler)?;
        let mut warnings = Vec::from_iter(unknown);
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
        Ok(Self { checkpoint, configs, scheduler, text_encoder, transformer, vae, defaults, warnings })
    }

    /// The folder, its files and hashes.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What the checkpoint says of its models.
    pub fn configs(&self) -> &Configs {
        &self.configs
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
        self.defaults.request(prompt.into(), Prompt::Text(self.defaults.negative_prompt.clone()))
    }

    /// Holds a request against the checkpoint; reads no weights.
    ///
    /// # Errors
    /// [`Error::Request`] naming the field and the nearest value that can be done.
    pub fn check(&self, request: &Request) -> Result<()> {
        request.check(&self.configs, &self.scheduler).map(drop)
    }

    /// Holds the tensors of a run against the device's budget: those of its [`plan`](Self::plan), to the byte.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], and as [`plan`](Self::plan).
    pub fn check_memory(&self, device: &Device, request: &Request) -> Result<()> {
        device.expect(self.plan(device, request)?.tensors())
    }

    /// The number of frames nearest to `frames` that this model can make: a multiple of its temporal factor plus 1.
    pub fn nearest_frames(&self, frames: usize) -> usize {
        FrameGrid::new(&self.configs).nearest(frames)
    }

    /// The shape `[C, T, H, W]` of the latent of a request.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn latent_shape(&self, request: &Request) -> Result<[usize; 4]> {
        Ok(request.check(&self.configs, &self.scheduler)?.latent)
    }

    /// The noise levels and the solver of a request.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn schedule(&self, request: &Request) -> Result<(Grid, Sampler)> {
        let Checked { grid, sampler, .. } = request.check(&self.configs, &self.scheduler)?;
        Ok((grid, sampler))
    }

    /// The checkpoint's scheduler.
    pub fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
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
        let Checked { latent, grid, sampler, guidance } = request.check(&self.configs, &self.scheduler)?;
        let text = self.encode(device, &request.prompts(guidance), progress)?;

        progress(Progress::Loading("transformer"));
        let (transformer, contexts) = self.load_transformer(device, text)?;
        let text: Vec<&wan::TextContext> = contexts.iter().collect();

        let mut x = match &request.latents {
            Some(latents) => latents.clone(),
            None => rng::randn(request.seed, latent.iter().product()),
        };
        let mut solver = Solver::new(sampler, &grid)?;
        for (step, &timestep) in grid.timesteps().iter().enumerate() {
            let input = Tensor::from_slice(device, latent, &x)?;
            let branches = transformer.forward(&input, timestep, &text)?;
            let mut velocity = branches[0].to_vec()?;
            if let Some(uncond) = branches.get(1) {
                guidance.combine(&mut velocity, &uncond.values()?)?;
            }
            drop(branches);
            solver.step(&velocity, &mut x)?;
            if !x.iter().all(|value| value.is_finite()) {
                let again = || transformer.forward(&input, timestep, &text);
                return Err(device.examine(("transformer", Some(step + 1)), again));
            }
            progress(Progress::Step { done: step + 1, total: grid.steps() });
        }
        drop((transformer, contexts));
        device.release_unused();
        Tensor::from_slice(device, latent, &x)
    }

    /// The transformer, and each text as it sees it.
    pub(crate) fn load_transformer(
        &self,
        device: &Device,
        text: Vec<Tensor>,
    ) -> Result<(wan::Transformer, Vec<wan::TextContext>)> {
        let transformer = wan::Transformer::load(&self.transformer, self.configs.transformer.clone(), device)?;
        let context = |text| match transformer.context(text)? {
            context if context.is_finite()? => Ok(context),
            _ => Err(device.examine(("transformer", None), || transformer.context(text))),
        };
        let contexts = text.iter().map(context).collect::<Result<_>>()?;
        Ok((transformer, contexts))
    }

    /// Text embeddings `[L, text_dim]` of prompts, without padding; those that are given are copied to the device. The
    /// text encoder is loaded only if there is anything to encode.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Tokenizer`], [`Error::Checkpoint`], [`Error::NotFinite`], [`Error::OutOfMemory`],
    /// [`Error::Cancelled`].
    pub fn encode(&self, device: &Device, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Tensor>> {
        let ids = self.ids(prompts, progress)?;
        let wanted: Vec<&[u32]> = ids.iter().flatten().map(Vec::as_slice).collect();
        let mut encoded = self.encode_ids(device, &wanted, progress)?.into_iter();
        let texts = prompts.iter().map(|prompt| match prompt {
            Prompt::Embeddings(text) => Tensor::from_slice(device, text.shape(), &text.values()?),
            _ => Ok(encoded.next().expect("a prompt that has ids was encoded")),
        });
        texts.collect()
    }

    fn encode_ids(&self, device: &Device, ids: &[&[u32]], progress: OnProgress) -> Result<Vec<Tensor>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        progress(Progress::Loading("text encoder"));
        let encoder = umt5::Encoder::load(&self.text_encoder, self.configs.text_encoder.clone(), device)?;
        let mut texts = Vec::new();
        for ids in ids {
            let text = encoder.forward(device, ids)?;
            if !text.is_finite()? {
                return Err(device.examine(("text encoder", None), || encoder.forward(device, ids)));
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
        fps: FrameRate,
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
        if !latents.is_finite()? {
            return Err(Error::Request { what: "latents", why: "some are not finite numbers".into() });
        }
        let total = factor * (frames - 1) + 1;
        sink.start(&VideoInfo { width: width * scale, height: height * scale, fps, frames: total })?;
        let mut done = 0;
        let decoded = decoder.decode(&mut state, latents, &mut |video| {
            let &[count, height, width, _] = video.dims() else { unreachable!("the decoder hands on video") };
            for t in 0..count {
                device.check()?;
                sink.frame(&Frame::from_signed(width, height, &video.narrow(t..t + 1)?.values()?)?)?;
                done += 1;
                progress(Progress::Frame { done, total });
            }
            Ok(())
        });
        drop(state);
        if let Err(Error::NotFinite { stage, .. }) = decoded {
            // What was remembered of earlier frames is overwritten: from the first one, then, up to where it happened.
            let again = || decoder.decode(&mut wan_vae::DecoderState::default(), latents, &mut |_| Ok(()));
            return Err(device.examine((stage, None), again));
        }
        decoded?;
        drop(decoder);
        device.release_unused();
        sink.finish()
    }

    /// The token ids of prompts, each with the end token; what was cut off a text comes as progress.
    ///
    /// tokenizer.json is read once a call, and only if there is text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file does not cover a text, [`Error::Request`] if ids are too many or a prompt is
    /// embeddings, which have no ids.
    pub fn tokenize(&self, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Vec<u32>>> {
        let none = || Error::Request { what: "prompt", why: "it is embeddings, which have no token ids".into() };
        self.ids(prompts, progress)?.into_iter().map(|ids| ids.ok_or_else(none)).collect()
    }

    /// The ids of each prompt that is not embeddings.
    #[cfg_attr(not(feature = "tokenizer"), expect(unused_variables, reason = "only text can be too long"))]
    pub(crate) fn ids(&self, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Option<Vec<u32>>>> {
        for prompt in prompts {
            prompt.check("prompt", &self.configs)?;
        }
        #[cfg(feature = "tokenizer")]
        let tokenizer = std::cell::OnceCell::new();
        let ids = |(index, prompt): (usize, &&Prompt)| match prompt {
            #[cfg(feature = "tokenizer")]
            Prompt::Text(prompt) => {
                let tokenizer = match tokenizer.get() {
                    Some(tokenizer) => tokenizer,
                    None => {
                        let file = self.checkpoint.tokenizer_path()?;
                        let bytes = self.checkpoint.read(&file, text::LARGEST_FILE)?;
                        let read = text::Tokenizer::from_bytes(&bytes, &file)?;
                        tokenizer.get_or_init(|| read)
                    }
                };
                let tokens = tokenizer.encode(&text::clean(prompt), wan::MAX_TEXT_TOKENS)?;
                if let Some(text) = tokens.cut {
                    progress(Progress::PromptCut { prompt: index, text });
                }
                Ok(Some(tokens.ids))
            }
            #[cfg(not(feature = "tokenizer"))]
            Prompt::Text(_) => Ok(Some(vec![self.configs.text_encoder.end_token()])),
            Prompt::Tokens(ids) => Ok(Some(ids.clone())),
            Prompt::Embeddings(_) => Ok(None),
        };
        prompts.iter().enumerate().map(ids).collect()
    }
}
