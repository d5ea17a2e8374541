//! What a run will take, before it starts: work, memory, time.
//!
//! [`Pipeline::plan`] sends the request through the models' own code on a device that counts in place of computing, so
//! that every shape, every op and every buffer is that of the run itself. [`Probe`] measures the machine.

use super::open::Pipeline;
pub use super::probe::Probe;
use super::prompt::Prompt;
use super::request::{Checked, Request};
use super::stage::Stage;
use crate::device::Device;
pub use crate::device::Work;
use crate::error::Result;
use crate::models::{umt5, wan_vae};
use crate::ops;
use crate::tensor::Tensor;

/// A run's stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Text encoder (unless all prompts are embeddings), transformer, VAE decoder: one after the other.
    pub stages: Vec<StagePlan>,
}

/// What one stage takes.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// Which.
    pub stage: Stage,
    /// What goes through the model: tokens of all prompts; tokens of the video, once for each branch of guidance; pixels
    /// of the latent.
    pub tokens: usize,
    /// How often the model runs: prompts, sampling steps, frames of the latent.
    pub rounds: usize,
    /// The work of the last round; steps are all alike, later frames cost more than the first.
    pub round: Work,
    /// The work of the whole stage, loading included.
    pub work: Work,
    /// The most bytes of tensors at one time, exactly: what the device's pool will have as its
    /// [`peak`](crate::PoolStats::peak).
    pub tensors: u64,
    /// The most bytes of what else is held at one time: kernels' working memory on each thread, the sampler's latents, a
    /// frame. Encoders of video files are not counted.
    pub other: u64,
    /// Bytes of the matrices that are used, as they are stored.
    pub weights: u64,
    /// Whether these are copied into memory; else they are there already, or mapped, and the system drops what it needs
    /// room for.
    pub weights_copied: bool,
    /// Bytes of them that have to be there at one time if they are copied: all, or on a GPU, which fetches them as they are
    /// needed, those of the largest matrix.
    pub weights_at_once: u64,
}

impl StagePlan {
    /// Bytes of memory that the stage takes if it can have them.
    pub fn memory(&self) -> u64 {
        self.tensors + self.other + if self.weights_copied { self.weights } else { 0 }
    }

    /// Bytes of memory that the stage cannot do without: on a GPU fewer than it takes, and it fetches weights anew in every
    /// round.
    pub fn least_memory(&self) -> u64 {
        self.tensors + self.other + if self.weights_copied { self.weights_at_once } else { 0 }
    }

    /// Seconds that the stage takes at a machine's measured speed, to within a quarter as a rule. Weights are taken to be
    /// in memory: reading them from disk comes on top, which for the text encoder is most of its time.
    pub fn seconds(&self, probe: &Probe) -> f64 {
        probe.seconds(&self.work)
    }
}

impl Plan {
    /// Bytes of memory that the run takes if it can have them, beside what the program itself takes: those of the stage
    /// that takes the most.
    pub fn memory(&self) -> u64 {
        self.stages.iter().map(StagePlan::memory).max().unwrap_or(0)
    }

    /// Bytes of memory that the run cannot do without, beside what the program itself takes.
    pub fn least_memory(&self) -> u64 {
        self.stages.iter().map(StagePlan::least_memory).max().unwrap_or(0)
    }

    /// The most bytes of tensors at one time: what a device's budget is held against.
    pub fn tensors(&self) -> u64 {
        self.stages.iter().map(|stage| stage.tensors).max().unwrap_or(0)
    }

    /// The work of all stages.
    pub fn work(&self) -> Work {
        self.stages.iter().fold(Work::default(), |all, stage| all + stage.work)
    }

    /// Seconds that the run takes at a machine's measured speed.
    pub fn seconds(&self, probe: &Probe) -> f64 {
        self.stages.iter().map(|stage| stage.seconds(probe)).sum()
    }
}

impl Pipeline {
    /// What a request will take of `device`, which is not used otherwise; reads no weights and takes milliseconds, and
    /// as long as the tokenizer if a prompt is text.
    ///
    /// Memory is that of a device that holds nothing else, in the caller's rayon pool.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::Tokenizer`](crate::Error::Tokenizer).
    pub fn plan(&self, device: &Device, request: &Request) -> Result<Plan> {
        let checked = request.check(self.components())?;
        let prompts = request.prompts();
        let ids = self.ids(&prompts, &mut |_| {})?;
        let (dry, streamed) = (device.counting(), device.copies_weights());
        let mut stages = Vec::new();

        let ids: Vec<&Vec<u32>> = ids.iter().flatten().collect();
        let mut encoded = Vec::new();
        if !ids.is_empty() {
            let mut stage = Count::new(&dry, streamed);
            let model = self.components().need_text_encoder()?;
            let encoder = umt5::Encoder::load(&model.weights, model.config.clone(), &dry)?;
            stage.rounds(ids.len(), |i| encoder.forward(&dry, ids[i]).map(|text| encoded.push(text)))?;
            let tokens = ids.iter().map(|ids| ids.len()).sum();
            stages.push(stage.end(Stage::TextEncoder, tokens, 0, model.weights.copies()));
        }
        dry.release_unused();

        // Texts that are given come to the device as the first of the transformers starts.
        let mut stage = Count::new(&dry, streamed);
        let mut encoded = encoded.into_iter();
        let texts = prompts.iter().filter_map(|prompt| match prompt {
            Prompt::Embeddings(text) => Some(Tensor::zeros(&dry, text.shape())),
            _ => encoded.next().map(Ok),
        });
        let texts = texts.collect::<Result<Vec<_>>>()?;
        for which in [0, 1] {
            let all = checked.grid.timesteps().iter().copied();
            let steps: Vec<f32> = all.filter(|&time| self.expert_at(time) == which).collect();
            if !steps.is_empty() {
                stages.push(self.plan_expert(stage, &checked, request, which, &steps, &texts)?);
                stage = Count::new(&dry, streamed);
            }
        }
        drop(texts);

        let mut stage = Count::new(&dry, streamed);
        let latents = Tensor::zeros(&dry, checked.latent)?;
        let model = self.components().need_vae()?;
        let decoder = wan_vae::Decoder::load(&model.weights, model.config.clone(), &dry)?;
        let frames = ops::channels_last(&latents)?;
        let mut state = wan_vae::DecoderState::default();
        let round = |t| decoder.decode_frame(&mut state, frames.narrow(t..t + 1)?).map(drop);
        stage.rounds(checked.latent[1], round)?;
        let other = (request.width * request.height * 3) as u64;
        let tokens = checked.latent[1..].iter().product();
        stages.push(stage.end(Stage::VaeDecoder, tokens, other, model.weights.copies()));
        Ok(Plan { stages })
    }

    /// The steps of one of the transformers, at these timesteps.
    fn plan_expert(
        &self,
        mut stage: Count<'_>,
        checked: &Checked,
        request: &Request,
        which: usize,
        steps: &[f32],
        texts: &[Tensor],
    ) -> Result<StagePlan> {
        let Checked { latent, guidance, .. } = checked;
        let dry = stage.device;
        let numbers = size_of::<f32>() as u64;
        let expert = self.load_expert(dry, which, texts, &mut |_| {})?;
        let branches = expert.texts(guidance[which].needs_uncond());
        let [_, frames, height, width] = *latent;
        let patch = expert.transformer.config().patch_size[0];
        let shape = [request.conditions.input_channels(*latent), frames, height, width];
        stage.rounds(steps.len(), |step| {
            let input = Tensor::zeros(dry, shape)?;
            let times = request.conditions.times(steps[step], frames / patch, patch);
            expert.transformer.forward(&input, times, &branches).map(drop)
        })?;
        let patch = expert.transformer.config().patch_volume();
        let tokens = frames * height * width / patch * branches.len();
        // The latent and its velocity, what UniPC holds while it steps: four latents; and what conditions read beside it.
        let latent_bytes = latent.iter().product::<usize>() as u64 * numbers;
        let input_bytes = shape.iter().product::<usize>() as u64 * numbers;
        let conditioned = request.conditions.clean.is_some() || request.conditions.channels.is_some();
        let sampler = 6 * latent_bytes + if conditioned { input_bytes } else { 0 };
        // A text with a row for its padding.
        let padded = texts.iter().map(|text| text.shape().numel() + text.shape().last()).max().unwrap_or(0);
        let copied = self.expert_weights(which)?.copies();
        let planned = stage.end(expert.stage(), tokens, sampler.max(padded as u64 * numbers), copied);
        drop(expert);
        dry.release_unused();
        Ok(planned)
    }
}

/// A stage under way on a device that only counts.
struct Count<'a> {
    device: &'a Device,
    /// Whether weights are fetched as they are needed.
    streamed: bool,
    before: (Work, u64),
    rounds: usize,
    round: Work,
    /// The work of rounds that were not run.
    skipped: Work,
}

/// Bytes of the matrices that models have asked for, and of the largest since the last call.
fn weights_seen(device: &Device) -> (u64, u64) {
    device.counted_weights().map_or((0, 0), |weights| weights.seen())
}

impl<'a> Count<'a> {
    fn new(device: &'a Device, streamed: bool) -> Self {
        let before = (device.work(), weights_seen(device).0);
        Self { device, streamed, before, rounds: 0, round: Work::default(), skipped: Work::default() }
    }

    /// Goes through so many rounds, as long as they change the pool's account.
    ///
    /// A round that leaves the account as it found it is followed by others like it: what the pool does depends on that
    /// alone, and so does what a model remembers between rounds, for all of it lies in buffers that only grow.
    fn rounds(&mut self, count: usize, mut round: impl FnMut(usize) -> Result<()>) -> Result<()> {
        self.rounds = count;
        for i in 0..count {
            let (account, before) = (self.device.account(), self.device.work());
            round(i)?;
            self.round = self.device.work().since(before);
            if self.device.account() == account {
                self.skipped = self.round.times((count - i - 1) as u64);
                break;
            }
        }
        Ok(())
    }

    /// The stage's figures; `other` are the bytes outside of tensors that are not kernels' working memory.
    fn end(self, stage: Stage, tokens: usize, other: u64, weights_read: bool) -> StagePlan {
        let (work, before) = self.before;
        let (weights, largest) = weights_seen(self.device);
        let weights = weights - before;
        let work = self.device.work().since(work) + self.skipped;
        // A caller outside of the pool runs small kernels itself.
        let threads = rayon::current_num_threads() + usize::from(rayon::current_thread_index().is_none());
        StagePlan {
            stage,
            tokens,
            rounds: self.rounds,
            round: self.round,
            work,
            tensors: self.device.pool_stats().peak,
            other: other + work.scratch * threads as u64 + work.shared,
            weights,
            weights_copied: weights_read || self.streamed,
            weights_at_once: if self.streamed { largest } else { weights },
        }
    }
}
