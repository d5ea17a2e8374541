//! What a run will take, before it starts: work, memory, time.
//!
//! [`Pipeline::plan`] sends the request through the models' own code on a device that counts in place of computing, so
//! that every shape, every op and every buffer is that of the run itself. [`Probe`] measures the machine.

use std::time::{Duration, Instant};

use super::Pipeline;
use super::request::{Checked, Prompt, Request};
use crate::device::Device;
pub use crate::device::Work;
use crate::error::Result;
use crate::models::{umt5, wan_vae};
use crate::ops::{self, Activation, Arithmetic, Conv3dParams, KeyValue};
use crate::tensor::Tensor;
use crate::weights::{Storage, Weight};

/// A run's stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Text encoder (unless all prompts are embeddings), transformer, VAE decoder: one after the other.
    pub stages: Vec<Stage>,
}

/// What one stage takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// "text encoder", "transformer" or "VAE decoder".
    pub name: &'static str,
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

impl Stage {
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
        self.stages.iter().map(Stage::memory).max().unwrap_or(0)
    }

    /// Bytes of memory that the run cannot do without, beside what the program itself takes.
    pub fn least_memory(&self) -> u64 {
        self.stages.iter().map(Stage::least_memory).max().unwrap_or(0)
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
        let Checked { latent, grid, guidance, .. } = request.check(&self.configs, &self.scheduler)?;
        let prompts = request.prompts(guidance);
        let ids = self.ids(&prompts, &mut |_| {})?;
        let (dry, streamed) = (device.counting(), device.copies_weights());
        let mut stages = Vec::new();
        let numbers = size_of::<f32>() as u64;
        let latent_bytes = latent.iter().product::<usize>() as u64 * numbers;

        let ids: Vec<&Vec<u32>> = ids.iter().flatten().collect();
        let mut encoded = Vec::new();
        if !ids.is_empty() {
            let mut stage = Count::new(&dry, streamed);
            let encoder = umt5::Encoder::load(&self.text_encoder, self.configs.text_encoder.clone(), &dry)?;
            stage.rounds(ids.len(), |i| encoder.forward(&dry, ids[i]).map(|text| encoded.push(text)))?;
            let tokens = ids.iter().map(|ids| ids.len()).sum();
            stages.push(stage.end("text encoder", tokens, 0, self.text_encoder.copies()));
        }
        dry.release_unused();

        let mut stage = Count::new(&dry, streamed);
        let mut encoded = encoded.into_iter();
        let text = prompts.iter().filter_map(|prompt| match prompt {
            Prompt::Embeddings(text) => Some(Tensor::zeros(&dry, text.shape())),
            _ => encoded.next().map(Ok),
        });
        let text = text.collect::<Result<Vec<_>>>()?;
        // A text with a row for its padding.
        let padded = text.iter().map(|text| text.shape().numel() + text.shape().last()).max().unwrap_or(0);
        let (transformer, contexts) = self.load_transformer(&dry, text)?;
        let branches: Vec<_> = contexts.iter().collect();
        stage.rounds(grid.steps(), |_| {
            let input = Tensor::zeros(&dry, latent)?;
            transformer.forward(&input, 0.0, &branches).map(drop)
        })?;
        let tokens = latent[1..].iter().product::<usize>() / self.configs.transformer.patch_volume() * branches.len();
        // The latent and its velocity, and what UniPC holds while it steps: four latents.
        let other = (6 * latent_bytes).max(padded as u64 * numbers);
        stages.push(stage.end("transformer", tokens, other, self.transformer.copies()));
        drop((transformer, contexts));
        dry.release_unused();

        let mut stage = Count::new(&dry, streamed);
        let latents = Tensor::zeros(&dry, latent)?;
        let decoder = wan_vae::Decoder::load(&self.vae, self.configs.vae.clone(), &dry)?;
        let frames = ops::channels_last(&latents)?;
        let mut state = wan_vae::DecoderState::default();
        stage.rounds(latent[1], |t| decoder.decode_frame(&mut state, frames.narrow(t..t + 1)?).map(drop))?;
        let other = (request.width * request.height * 3) as u64;
        let tokens = latent[1..].iter().product();
        stages.push(stage.end("VAE decoder", tokens, other, self.vae.copies()));
        Ok(Plan { stages })
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
    fn end(self, name: &'static str, tokens: usize, other: u64, weights_read: bool) -> Stage {
        let (work, before) = self.before;
        let (weights, largest) = weights_seen(self.device);
        let weights = weights - before;
        let work = self.device.work().since(work) + self.skipped;
        // A caller outside of the pool runs small kernels itself.
        let threads = rayon::current_num_threads() + usize::from(rayon::current_thread_index().is_none());
        Stage {
            name,
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

/// Multiplies and adds in registers and tells how many floating-point operations that were, `None` where the device does not
/// compute so: divided by the time until [`Device::wait`] returns, the speed that no op exceeds. `rounds` make it longer; on a
/// processor every thread of the caller's rayon pool does its part.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Cancelled`](crate::Error::Cancelled),
/// [`Error::Device`](crate::Error::Device).
pub fn multiply_add(device: &Device, arithmetic: Arithmetic, rounds: usize) -> Result<Option<u64>> {
    ops::multiply_add(device, arithmetic, rounds)
}

/// What a machine does in a second, by the kind of its [`Work`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// FLOP of linear layers.
    pub linear: f64,
    /// FLOP of attention.
    pub attention: f64,
    /// FLOP of convolutions.
    pub conv3d: f64,
    /// Bytes that other ops read and write.
    pub moved: f64,
}

/// How long each kind is measured.
const MEASURED: Duration = Duration::from_millis(110);

impl Probe {
    /// Measures the machine for half a second with the engine's own kernels at a model's shapes, with the instructions of
    /// `device` and in the caller's rayon pool; takes some 200 MB of memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn measure(device: &Device) -> Result<Self> {
        let device = &device.another()?;
        let values = |shape: &[usize]| (0..shape.iter().product()).map(|i: usize| (i % 251) as f32 / 251.0 - 0.5);
        let tensor = |shape: &[usize]| Tensor::from_slice(device, shape, &values(shape).collect::<Vec<_>>());
        let weight = |shape: &[usize]| {
            let upper_half = |value: f32| ((value.to_bits() >> 16) as u16).to_le_bytes();
            Weight::from_bytes("probe", Storage::BF16, shape, values(shape).flat_map(upper_half).collect::<Vec<_>>())
        };
        let rate = |amount: fn(Work) -> u64, op: &dyn Fn() -> Result<Tensor>| {
            // Once for the pages and caches.
            op()?;
            device.wait()?;
            let (start, before) = (Instant::now(), device.work());
            while start.elapsed() < MEASURED {
                op()?;
                device.wait()?;
            }
            Ok(amount(device.work().since(before)) as f64 / start.elapsed().as_secs_f64())
        };

        let (x, w) = (tensor(&[384, 1536])?, weight(&[1536, 1536])?);
        let linear = rate(|work| work.linear, &|| ops::linear(&x, &w, None, Activation::None))?;
        let (q, kv) = (tensor(&[256, 1536])?, KeyValue::new(tensor(&[1024, 1536])?, tensor(&[1024, 1536])?));
        let attention = rate(|work| work.attention, &|| ops::attention(&q, std::slice::from_ref(&kv), 12, 0.1))?;
        let (video, kernel) = (tensor(&[1, 48, 48, 96])?, weight(&[96, 96, 3, 3, 3])?);
        let params = Conv3dParams { stride: [1; 3], pad_front: 0, pad: [1; 4] };
        let tail = tensor(&[2, 48, 48, 96])?;
        let conv3d = rate(|work| work.conv3d, &|| ops::conv3d(&video, Some(&tail), &kernel, None, params))?;
        let (wide, gamma) = (tensor(&[1 << 14, 1024])?, tensor(&[1024])?);
        let moved = rate(|work| work.moved, &|| ops::channel_norm(&wide, &gamma, Activation::Silu))?;
        Ok(Self { linear, attention, conv3d, moved })
    }

    fn seconds(&self, work: &Work) -> f64 {
        let Self { linear, attention, conv3d, moved } = *self;
        let parts = [(work.linear, linear), (work.attention, attention), (work.conv3d, conv3d), (work.moved, moved)];
        parts.iter().map(|&(amount, rate)| amount as f64 / rate).sum()
    }
}
