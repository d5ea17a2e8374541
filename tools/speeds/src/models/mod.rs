//! The models that a device's time is estimated for, as lists of ops: the engine's own way through them.

mod piece;
mod transformer;
mod vae;

use std::fmt;
use std::str::FromStr;

use zoetrope::models::Configs;

use crate::case::{Case, ElementwiseKind, NormKind};
use crate::error::{Error, Result};
pub use piece::{Part, Piece};
pub use transformer::Transformer;
pub use vae::Vae;

/// A model that can be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Wan2.1 T2V 1.3B.
    Wan21Small,
    /// Wan2.1 T2V 14B.
    Wan21Large,
    /// Wan2.2 TI2V 5B.
    Wan22Small,
    /// The small checkpoint in this program.
    Bundled,
}

impl Model {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Wan21Small, "wan2.1-t2v-1.3b"),
        (Self::Wan21Large, "wan2.1-t2v-14b"),
        (Self::Wan22Small, "wan2.2-ti2v-5b"),
        (Self::Bundled, "bundled"),
    ];

    /// Its sizes.
    ///
    /// # Errors
    /// [`Error::Engine`] if the checkpoint in this program is damaged.
    pub fn sizes(self) -> Result<Sizes> {
        let wan = |transformer: Transformer, vae: Vae, clip: Clip| Sizes { encoder: UMT5_XXL, transformer, vae, clip };
        let clip = Clip { width: 832, height: 480, frames: 81, steps: 50, text: [64, 126] };
        Ok(match self {
            Self::Wan21Small => wan(Transformer::wan(12, 8960, 30, 16), Vae::wan21(), clip),
            Self::Wan21Large => wan(Transformer::wan(40, 13824, 40, 16), Vae::wan21(), clip),
            Self::Wan22Small => {
                let clip = Clip { width: 1280, height: 704, frames: 121, ..clip };
                wan(Transformer::wan(24, 14336, 30, 48), Vae::wan22(), clip)
            }
            Self::Bundled => bundled()?,
        })
    }
}

impl FromStr for Model {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = || Self::ALL.map(|(_, name)| name).join(", ");
        let refuse = || Error::Request { what: "model", why: format!("{text:?} is not one of {}", names()) };
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(model, _)| model).ok_or_else(refuse)
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.into_iter().find(|(model, _)| model == self).map_or("", |(_, name)| name))
    }
}

/// A model's sizes, and what it is asked for by default.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// The text encoder.
    pub encoder: Encoder,
    /// The transformer.
    pub transformer: Transformer,
    /// The decoder of the VAE.
    pub vae: Vae,
    /// The default clip.
    pub clip: Clip,
}

/// A UMT5 encoder.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// Width of the residual stream.
    pub dim: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the gated hidden layer.
    pub ffn: usize,
    /// Layers.
    pub layers: usize,
}

/// Wan's text encoder (`google/umt5-xxl`).
const UMT5_XXL: Encoder = Encoder { dim: 4096, heads: 64, head_dim: 64, ffn: 10240, layers: 24 };

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clip {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Frames.
    pub frames: usize,
    /// Sampling steps.
    pub steps: usize,
    /// Tokens of the prompt and of the negative prompt; without guidance the latter is 0.
    pub text: [usize; 2],
}

/// The ops of a run.
#[derive(Clone, Debug)]
pub struct Work {
    /// What happens once.
    pub once: Vec<Piece>,
    /// What every step does.
    pub step: Vec<Piece>,
    /// Bytes of tensors that decoding, which needs the most, has at one time, about.
    pub memory: u64,
}

impl Sizes {
    /// What a checkpoint's configurations say.
    pub fn of(configs: &Configs, clip: Clip) -> Self {
        let Configs { text_encoder, transformer, vae } = configs;
        let encoder = Encoder {
            dim: text_encoder.d_model,
            heads: text_encoder.num_heads,
            head_dim: text_encoder.d_kv,
            ffn: text_encoder.d_ff,
            layers: text_encoder.num_layers,
        };
        Self { encoder, transformer: Transformer::of(transformer), vae: Vae::of(vae), clip }
    }

    /// The ops of a clip.
    ///
    /// # Errors
    /// [`Error::Request`] naming what the model cannot make, with what it can.
    pub fn work(&self, clip: &Clip) -> Result<Work> {
        let latent = self.latent(clip)?;
        let texts: Vec<usize> = clip.text.into_iter().filter(|&tokens| tokens > 0).collect();
        let mut once = Vec::new();
        texts.iter().for_each(|&tokens| self.encoder.add(&mut once, tokens));
        self.transformer.add_texts(&mut once, &texts);
        let mut step = Vec::new();
        self.transformer.add_step(&mut step, latent, &texts);
        self.vae.add(&mut once, latent);
        Ok(Work { once, step, memory: self.vae.memory(latent) })
    }

    /// Frames, rows and columns of the latent.
    fn latent(&self, clip: &Clip) -> Result<[usize; 3]> {
        let (grid, time) = (self.vae.spatial() * self.transformer.patch[1], self.vae.temporal());
        for (what, size) in [("width", clip.width), ("height", clip.height)] {
            if size == 0 || !size.is_multiple_of(grid) {
                let nearest = (size as f64 / grid as f64).round().max(1.0) as usize * grid;
                return Err(Error::Request { what, why: format!("{size} is no multiple of {grid}; try {nearest}") });
            }
        }
        if clip.frames == 0 || clip.frames % time != 1 % time {
            let nearest = clip.frames.saturating_sub(1) / time * time + 1;
            let why = format!("{} is no multiple of {time} plus 1; try {nearest}", clip.frames);
            return Err(Error::Request { what: "frames", why });
        }
        if clip.steps == 0 {
            return Err(Error::Request { what: "steps", why: "there is at least one".into() });
        }
        if clip.text[0] == 0 || clip.text.iter().any(|&tokens| tokens > transformer::TEXT_TOKENS) {
            let why = format!("a prompt has 1 to {} tokens", transformer::TEXT_TOKENS);
            return Err(Error::Request { what: "text-tokens", why });
        }
        let side = self.vae.spatial();
        Ok([(clip.frames - 1) / time + 1, clip.height / side, clip.width / side])
    }

    /// Bytes of all matrices, stored in half precision.
    pub fn weights(&self) -> usize {
        let Encoder { dim, heads, head_dim, ffn, layers } = self.encoder;
        let encoder = layers * (4 * dim * heads * head_dim + 3 * dim * ffn);
        2 * (encoder + self.transformer.weights() + self.vae.weights())
    }
}

impl Encoder {
    /// The ops of a prompt of so many tokens.
    fn add(&self, work: &mut Vec<Piece>, tokens: usize) {
        let &Self { dim, heads, head_dim, ffn, layers } = self;
        let mut add = |case: Case, count: usize| work.push(Piece { part: Part::TextEncoder, case, count });
        let inner = heads * head_dim;
        add(Case::norm(NormKind::RmsNorm, tokens, dim), 2 * layers + 1);
        add(Case::linear(tokens, dim, inner), 3 * layers);
        add(Case::attention(heads, head_dim, tokens, tokens), layers);
        add(Case::linear(tokens, inner, dim), layers);
        add(Case::linear(tokens, dim, ffn), 2 * layers);
        add(Case::elementwise(ElementwiseKind::Mul, tokens, ffn), layers);
        add(Case::linear(tokens, ffn, dim), layers);
    }
}

/// The checkpoint in this program by its own configurations.
fn bundled() -> Result<Sizes> {
    let checkpoint = zoetrope_bundled::checkpoint()?;
    let clip = Clip { width: 128, height: 128, frames: 17, steps: 20, text: [10, 1] };
    Ok(Sizes::of(&Configs::read(&checkpoint)?, clip))
}

#[cfg(test)]
mod tests {
    use zoetrope::{Device, Pipeline, Prompt, Request, Steps};

    use super::*;
    use crate::case::Op;

    fn flop(pieces: &[Piece], op: Op) -> u64 {
        pieces.iter().filter(|piece| piece.case.op() == op).map(|piece| piece.count as u64 * piece.case.flop()).sum()
    }

    /// Bytes as the engine counts them: the operands as large as the result.
    fn moved(pieces: &[Piece]) -> f64 {
        let other = pieces.iter().filter(|piece| matches!(piece.case.op(), Op::Norm | Op::Elementwise));
        other.map(|piece| (piece.count as u64 * piece.case.bytes(4)) as f64).sum()
    }

    fn all(work: &Work, steps: usize) -> Vec<Piece> {
        let step = work.step.iter().map(|piece| Piece { count: piece.count * steps, ..*piece });
        work.once.iter().copied().chain(step).collect()
    }

    #[test]
    fn the_ops_are_those_of_the_engines_plan() {
        let pipeline = Pipeline::from_checkpoint(zoetrope_bundled::checkpoint().unwrap()).unwrap();
        let sizes = Model::Bundled.sizes().unwrap();
        for (width, height, frames, steps, text) in
            [(128, 128, 17, 20, [10, 1]), (96, 64, 1, 1, [3, 2]), (256, 128, 9, 3, [40, 0])]
        {
            let tokens = |count: usize| Prompt::Tokens(vec![5; count.max(1)]);
            let request = Request {
                width,
                height,
                frames,
                steps: Steps::Schedule { schedule: Default::default(), steps, shift: None },
                guidance: if text[1] > 0 { 4.0 } else { 1.0 },
                ..Request::new(tokens(text[0]), tokens(text[1]))
            };
            let plan = pipeline.plan(&Device::cpu().unwrap(), &request).unwrap();
            let work = sizes.work(&Clip { width, height, frames, steps, text }).unwrap();
            let ratio = work.memory as f64 / plan.tensors() as f64;
            let most = if frames > 1 { 1.3 } else { 2.0 };
            assert!((0.7..most).contains(&ratio), "{width}x{height}x{frames}: memory is {ratio} of the plan's");
            let (plan, work) = (plan.work(), all(&work, steps));
            let found = [Op::Linear, Op::Attention, Op::Conv3d].map(|op| flop(&work, op));
            assert_eq!(found, [plan.linear, plan.attention, plan.conv3d], "{width}x{height}x{frames}");
            let ratio = moved(&work) / plan.moved as f64;
            assert!((0.95..1.1).contains(&ratio), "{width}x{height}x{frames}: bytes are {ratio} of the plan's");
        }
    }

    /// FLOP of the models as they were counted from the published code: `performance.md`, section 1.
    #[test]
    fn the_known_models_do_what_is_known_of_them() {
        // Frames of zeros, which were counted there, are left out here.
        let near = |found: u64, expected: f64| {
            let ratio = found as f64 / (expected * 1e12);
            assert!((0.98..1.005).contains(&ratio), "{found} for {expected} T");
        };
        for (model, gemm, attention, vae) in [
            (Model::Wan21Small, 82.1, 200.9, 275.4),
            (Model::Wan21Large, 785.4, 892.9, 275.4),
            (Model::Wan22Small, 237.4, 279.5, 2011.0),
        ] {
            let sizes = model.sizes().unwrap();
            // All of the text as one branch: keys and values of 512 tokens are once and not for each step here.
            let work = sizes.work(&Clip { text: [512, 0], ..sizes.clip }).unwrap();
            let once: Vec<Piece> = work.once.iter().filter(|piece| piece.part == Part::Gemm).copied().collect();
            near(flop(&work.step, Op::Linear) + flop(&once, Op::Linear), gemm);
            near(flop(&work.step, Op::Attention), attention);
            let decoder: Vec<Piece> = work.once.into_iter().filter(|piece| piece.part == Part::Vae).collect();
            near(Op::ALL[..3].iter().map(|&op| flop(&decoder, op)).sum(), vae);
        }
        let near = |model: Model, billions: f64| {
            let ratio = model.sizes().unwrap().weights() as f64 / 2e9 / billions;
            assert!((ratio - 1.0).abs() < 0.02, "{model}: {ratio}");
        };
        // Without the embedding of the vocabulary, and of the VAEs the decoders alone.
        near(Model::Wan21Small, 1.419 + 4.63 + 0.073);
        near(Model::Wan21Large, 14.288 + 4.63 + 0.073);
    }

    #[test]
    fn what_cannot_be_made_is_refused_with_what_can() {
        let sizes = Model::Wan21Small.sizes().unwrap();
        let refused = |clip: Clip| sizes.work(&clip).unwrap_err().to_string();
        assert_eq!(refused(Clip { width: 833, ..sizes.clip }), "width: 833 is no multiple of 16; try 832");
        assert_eq!(refused(Clip { frames: 80, ..sizes.clip }), "frames: 80 is no multiple of 4 plus 1; try 77");
        assert!(refused(Clip { text: [600, 1], ..sizes.clip }).contains("512"));
        assert!("wan3".parse::<Model>().unwrap_err().to_string().contains("wan2.1-t2v-14b"));
    }
}
