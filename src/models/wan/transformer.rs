//! The video diffusion transformer `WanTransformer3DModel`.

use super::block::Block;
use super::config::{Config, MAX_TEXT_TOKENS};
use super::embed::{Rope, TimeEmbedding, TokenTime};
use super::times::Times;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{LayerNorm, Linear, Mlp, Table};
use crate::ops::{self, AttentionBias, KeyValue};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// Wan's video diffusion transformer.
///
/// Wan team, arXiv 2503.20314; diffusers' `transformer_wan.py`.
pub struct Transformer {
    patch_embedding: Linear, // [D, C * pt * ph * pw]
    time: TimeEmbedding,
    text: Mlp, // text_dim to D to D
    blocks: Vec<Block>,
    norm_out: LayerNorm,
    proj_out: Linear, // [pt * ph * pw * C', D]
    table: Table,     // [2, D]
    config: Config,
    weights: Weights,
}

/// One prompt as the transformer's cross-attentions see it: the keys and values of every block.
///
/// Computed once per prompt. The reference pads text to 512 rows of zeros, which it attends to; all of them have the
/// same key and value, so one of each with a bias of ln(512 - L) stands for them: equal in exact arithmetic.
#[derive(Clone)]
pub struct TextContext {
    blocks: Vec<KeyValue>,
}

impl TextContext {
    /// Whether no value is NaN or infinite.
    pub(crate) fn is_finite(&self) -> Result<bool> {
        for keys in &self.blocks {
            if !(keys.key.is_finite()? && keys.value.is_finite()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Transformer {
    /// Loads the model from a checkpoint scope; matrices stay where they are stored.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a tensor is missing or misshapen.
    pub fn load(weights: &Weights, config: Config, device: &Device) -> Result<Self> {
        let weights = &weights.on(device);
        let dim = config.inner_dim();
        let embedder = weights.at("condition_embedder");
        let block = |i| Block::load(&weights.at("blocks").at(i), &config, device);
        let patch = config.patch_volume();
        let patches = weights.at("patch_embedding");
        let text = (config.text_dim, dim, dim);
        Ok(Self {
            patch_embedding: Linear::load_patches(&patches, config.in_channels, &config.patch_size, dim, device)?,
            time: TimeEmbedding::load(&embedder, &config, device)?,
            text: Mlp::load(&embedder.at("text_embedder"), ("linear_1", "linear_2"), text, device)?,
            blocks: (0..config.num_layers).map(block).collect::<Result<_>>()?,
            norm_out: LayerNorm::plain("norm_out".into(), config.eps),
            proj_out: Linear::load(&weights.at("proj_out"), dim, config.out_channels() * patch, device)?,
            table: Table::load(weights, "scale_shift_table", 2, dim, device)?.one_more(&[1])?,
            config,
            weights: weights.clone(),
        })
    }

    /// The configuration that it was loaded with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Prepares one prompt: text embeddings `[L, text_dim]` of its real tokens, L at most 512.
    ///
    /// # Errors
    /// [`Error::Shape`] if the embeddings do not fit, [`Error::Checkpoint`] if the file changed, [`Error::Cancelled`].
    pub fn context(&self, text: &Tensor) -> Result<TextContext> {
        let fits = text.shape().rank() == 2 && text.shape().last() == self.config.text_dim;
        let expected = [MAX_TEXT_TOKENS, self.config.text_dim];
        if !fits || text.dims()[0] > MAX_TEXT_TOKENS {
            let why = "text embeddings are [L, text_dim], L at most 512";
            return Err(Error::Shape { op: "context", left: text.shape(), right: expected.into(), why });
        }
        let length = text.dims()[0];
        let padding = MAX_TEXT_TOKENS - length;
        let rows = length + usize::from(padding > 0);
        self.weights.check_unchanged()?;
        let mut values = Vec::with_capacity(rows * self.config.text_dim);
        values.extend_from_slice(&text.values()?);
        values.resize(rows * self.config.text_dim, 0.0);
        let device = text.device();
        let embedded = self.text.forward(&Tensor::from_slice(device, [rows, self.config.text_dim], &values)?)?;
        let bias = if padding > 0 {
            let mut bias = vec![0.0; rows];
            bias[length] = (padding as f32).ln();
            AttentionBias::PerKey(Tensor::from_slice(device, [rows], &bias)?)
        } else {
            AttentionBias::None
        };
        let keys = |block: &Block| {
            self.weights.check_unchanged()?;
            Ok(KeyValue { bias: bias.clone(), ..block.text_keys(&embedded)? })
        };
        Ok(TextContext { blocks: self.blocks.iter().map(keys).collect::<Result<_>>()? })
    }

    /// The velocity of `latent` `[C, T, H, W]` at a timestep (1000 sigma) or at those of its rows of tokens, one
    /// `[C', T, H, W]` for each text.
    ///
    /// The branches go through together: rows stacked for linear layers and norms, attention apart, so that each
    /// block's weights are read once.
    ///
    /// # Errors
    /// [`Error::Shape`] if the latent does not fit, [`Error::Request`] if it is larger than the table of positions,
    /// [`Error::Checkpoint`] if the file changed, [`Error::Cancelled`], [`Error::OutOfMemory`].
    pub fn forward(&self, latent: &Tensor, times: impl Into<Times>, text: &[&TextContext]) -> Result<Vec<Tensor>> {
        let own = |context: &&TextContext| {
            let width = |keys: &KeyValue| keys.key.shape().last();
            context.blocks.len() == self.blocks.len()
                && context.blocks.iter().all(|keys| width(keys) == self.config.inner_dim())
        };
        if text.is_empty() || !text.iter().all(own) {
            let right = [text.len(), self.blocks.len(), self.config.inner_dim()].into();
            let why = "at least one text, each prepared by this model's `context`";
            return Err(Error::Shape { op: "transformer", left: latent.shape(), right, why });
        }
        self.weights.check_unchanged()?;
        let patch = self.config.patch_size;
        let patches = ops::patchify(latent, patch)?;
        let &[_, frames, height, width] = latent.dims() else { unreachable!("patchify checks the rank") };
        let grid = [frames / patch[0], height / patch[1], width / patch[2]];
        let device = latent.device();
        let rope = Rope::new(&self.config, grid, device)?;
        let runs = times.into().runs(grid[0]).ok_or_else(|| {
            let why = "a time for each row of tokens along time";
            Error::Shape { op: "transformer", left: latent.shape(), right: grid.into(), why }
        })?;
        let mut first = 0;
        let times = runs.into_iter().map(|(rows, timestep)| {
            let tokens = first..first + rows * grid[1] * grid[2];
            first = tokens.end;
            let (embedding, projected) = self.time.forward(timestep, device)?;
            Ok(TokenTime { tokens, embedding, projected })
        });
        let times = times.collect::<Result<Vec<_>>>()?;

        let mut x = self.patch_embedding.forward(&patches)?;
        for (i, block) in self.blocks.iter().enumerate() {
            self.weights.check_unchanged()?;
            let text: Vec<KeyValue> = text.iter().map(|context| context.blocks[i].clone()).collect();
            x = block.forward(x, &times, &rope, &text)?;
        }
        self.weights.check_unchanged()?;
        let tokens = patches.dims()[0];
        let modulation = |time: &TokenTime| {
            let m = self.table.added_to(ops::repeat_rows(&time.embedding, 2)?)?;
            Ok((m.narrow(0..1)?, m.narrow(1..2)?))
        };
        let m = times.iter().map(modulation).collect::<Result<Vec<_>>>()?;
        let rows = match &m[..] {
            [(shift, scale)] => vec![(0..text.len() * tokens, scale, shift)],
            _ => {
                let own =
                    |b: usize| move |time: &TokenTime| b * tokens + time.tokens.start..b * tokens + time.tokens.end;
                let branch = |b| times.iter().map(own(b)).zip(&m).map(|(rows, (shift, scale))| (rows, scale, shift));
                (0..text.len()).flat_map(branch).collect()
            }
        };
        x = self.norm_out.forward_adaptive(&x, &rows)?;
        drop((m, times));
        x = self.proj_out.forward(&x)?;
        let shape = [self.config.out_channels(), frames, height, width];
        (0..text.len()).map(|b| ops::unpatchify(&x.narrow(b * tokens..(b + 1) * tokens)?, shape, patch)).collect()
    }
}
