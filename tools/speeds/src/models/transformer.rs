//! The ops of a step of Wan's transformer, in the engine's order.

use zoetrope::models::wan;

use super::piece::{Part, Piece};
use crate::case::{Case, ElementwiseKind, NormKind};

/// The most tokens of a text, up to which the reference pads it.
pub const TEXT_TOKENS: usize = 512;
/// Rows that the engine's hidden layers take at a time.
const HIDDEN_ROWS: usize = 4096;

/// A `WanTransformer3DModel`.
#[derive(Clone, Debug)]
pub struct Transformer {
    heads: usize,
    head_dim: usize,
    ffn: usize,
    layers: usize,
    text_dim: usize,
    freq_dim: usize,
    channels: [usize; 2],
    cross_norm: bool,
    /// Latent positions in a token: frames, rows, columns.
    pub patch: [usize; 3],
}

impl Transformer {
    /// One of Wan's published sizes.
    pub fn wan(heads: usize, ffn: usize, layers: usize, channels: usize) -> Self {
        Self {
            heads,
            head_dim: 128,
            ffn,
            layers,
            text_dim: 4096,
            freq_dim: 256,
            channels: [channels; 2],
            cross_norm: true,
            patch: [1, 2, 2],
        }
    }

    /// What a checkpoint says.
    pub fn of(config: &wan::Config) -> Self {
        Self {
            heads: config.num_attention_heads,
            head_dim: config.attention_head_dim,
            ffn: config.ffn_dim,
            layers: config.num_layers,
            text_dim: config.text_dim,
            freq_dim: config.freq_dim,
            channels: [config.in_channels, config.out_channels()],
            cross_norm: config.cross_attn_norm,
            patch: config.patch_size,
        }
    }

    fn dim(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of all matrices.
    pub fn weights(&self) -> usize {
        let (dim, patch) = (self.dim(), self.patch.iter().product::<usize>());
        let ends = patch * (self.channels[0] + self.channels[1]) * dim;
        let conditions = self.text_dim * dim + dim * dim + self.freq_dim * dim + 7 * dim * dim;
        ends + conditions + self.layers * (8 * dim * dim + 2 * dim * self.ffn)
    }

    /// Rows of a text's keys: one stands for all of its padding.
    fn keys(tokens: usize) -> usize {
        tokens + usize::from(tokens < TEXT_TOKENS)
    }

    /// What texts take before the first step.
    pub(super) fn add_texts(&self, work: &mut Vec<Piece>, texts: &[usize]) {
        let dim = self.dim();
        for rows in texts.iter().map(|&tokens| Self::keys(tokens)) {
            let mut add = |case: Case, count| work.push(Piece { part: Part::of(&case), case, count });
            add(Case::linear(rows, self.text_dim, dim), 1);
            add(Case::linear(rows, dim, dim), 1 + 2 * self.layers);
            add(Case::norm(NormKind::RmsNorm, rows, dim), self.layers);
        }
    }

    /// What a step takes, with a branch for each text.
    pub(super) fn add_step(&self, work: &mut Vec<Piece>, [frames, height, width]: [usize; 3], texts: &[usize]) {
        let (dim, patch) = (self.dim(), self.patch.iter().product::<usize>());
        let tokens = frames * height * width / patch;
        let all = tokens * texts.len();
        let mut add = |case: Case, count| work.push(Piece { part: Part::of(&case), case, count });

        add(Case::elementwise(ElementwiseKind::Copy, tokens, patch * self.channels[0]), 1);
        add(Case::linear(tokens, patch * self.channels[0], dim), 1);
        add(Case::linear(1, self.freq_dim, dim), 1);
        add(Case::linear(1, dim, dim), 1);
        add(Case::linear(1, dim, 6 * dim), 1);
        // Before the first block meets the texts the branches are one.
        for (rows, count) in [(tokens, 1), (all, self.layers - 1)] {
            add(Case::norm(NormKind::LayerNormAffine, rows, dim), count);
            add(Case::linear(rows, dim, dim), 4 * count);
            add(Case::norm(NormKind::RmsNorm, rows, dim), 2 * count);
            add(Case::elementwise(ElementwiseKind::Rope, rows, dim), 2 * count);
            add(Case::attention(self.heads, self.head_dim, tokens, tokens), rows / tokens * count);
        }
        if texts.len() > 1 {
            add(Case::elementwise(ElementwiseKind::Copy, all, dim), 1);
        }
        let layers = self.layers;
        if self.cross_norm {
            add(Case::norm(NormKind::LayerNormAffine, all, dim), layers);
        }
        add(Case::linear(all, dim, dim), 2 * layers);
        add(Case::norm(NormKind::RmsNorm, all, dim), layers);
        for keys in texts.iter().map(|&tokens| Self::keys(tokens)) {
            add(Case::attention(self.heads, self.head_dim, tokens, keys), layers);
        }
        add(Case::norm(NormKind::LayerNormAffine, all, dim), layers + 1);
        for (rows, count) in [(HIDDEN_ROWS, all / HIDDEN_ROWS), (all % HIDDEN_ROWS, 1)] {
            if rows > 0 && count > 0 {
                add(Case::linear(rows, dim, self.ffn), count * layers);
                add(Case::linear(rows, self.ffn, dim), count * layers);
            }
        }
        add(Case::linear(all, dim, patch * self.channels[1]), 1);
        add(Case::elementwise(ElementwiseKind::Copy, all, patch * self.channels[1]), 1);
    }
}
