//! Configuration of the transformer, as diffusers writes it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::models::check::{Check, LAYERS, WIDTH};
use crate::weights::json;

/// Rows of text that the transformer attends to, padding included; longer prompts are cut.
pub const MAX_TEXT_TOKENS: usize = 512;

/// `config.json` of a WanTransformer3DModel; absent keys have diffusers' defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Latent positions in one token: frames, rows, columns.
    pub patch_size: [usize; 3],
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of one attention head.
    pub attention_head_dim: usize,
    /// Channels of the latent that comes in.
    pub in_channels: usize,
    // null and 0 mean in_channels.
    out_channels: Option<usize>,
    /// Width of the text encoder's output.
    pub text_dim: usize,
    /// Width of the sinusoidal embedding of the timestep.
    pub freq_dim: usize,
    /// Width of the hidden layer.
    pub ffn_dim: usize,
    /// Blocks.
    pub num_layers: usize,
    /// Whether the norm before cross-attention is there (and has weight and bias).
    pub cross_attn_norm: bool,
    qk_norm: Option<String>,
    /// Added under the root of all norms.
    pub eps: f32,
    /// The most token positions along each axis.
    pub rope_max_seq_len: usize,
    // Of the image branch, whose tensors decide whether there is one: published files name it where there is none.
    image_dim: Option<Value>,
    added_kv_proj_dim: Option<Value>,
    pos_embed_seq_len: Option<Value>,
    #[serde(rename = "_class_name")]
    class_name: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            patch_size: [1, 2, 2],
            num_attention_heads: 40,
            attention_head_dim: 128,
            in_channels: 16,
            out_channels: Some(16),
            text_dim: 4096,
            freq_dim: 256,
            ffn_dim: 13824,
            num_layers: 40,
            cross_attn_norm: true,
            qk_norm: Some("rms_norm_across_heads".to_owned()),
            eps: 1e-6,
            rope_max_seq_len: 1024,
            image_dim: None,
            added_kv_proj_dim: None,
            pos_embed_seq_len: None,
            class_name: None,
        }
    }
}

impl Config {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key that is malformed, out of bounds or not supported.
    pub fn read(file: &Path) -> Result<Self> {
        let config: Self = json::read_config(file)?;
        config.validate(file)?;
        Ok(config)
    }

    /// The keys that name an image branch.
    pub(super) fn image_keys(&self) -> Vec<&'static str> {
        let keys = [
            ("image_dim", &self.image_dim),
            ("added_kv_proj_dim", &self.added_kv_proj_dim),
            ("pos_embed_seq_len", &self.pos_embed_seq_len),
        ];
        let set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_null());
        keys.into_iter().filter(|(_, value)| set(value)).map(|(key, _)| key).collect()
    }

    /// The width of the residual stream: all heads together.
    pub fn inner_dim(&self) -> usize {
        self.num_attention_heads * self.attention_head_dim
    }

    /// Channels of the velocity that comes out.
    pub fn out_channels(&self) -> usize {
        self.out_channels.filter(|&channels| channels != 0).unwrap_or(self.in_channels)
    }

    /// Latent positions in one token.
    pub fn patch_volume(&self) -> usize {
        self.patch_size.iter().product()
    }

    /// How a head's dimensions are split over time, rows and columns by rope; all even.
    pub fn rope_dims(&self) -> [usize; 3] {
        let space = 2 * (self.attention_head_dim / 6);
        [self.attention_head_dim - 2 * space, space, space]
    }

    /// Checks that a grid of patches (frames, rows, columns) lies within the model's table of positions.
    ///
    /// # Errors
    /// [`Error::Request`] if an axis is longer.
    pub(crate) fn check_grid(&self, grid: [usize; 3]) -> Result<()> {
        let mut axes = ["frames", "height", "width"].into_iter().zip(grid);
        match axes.find(|&(_, length)| length > self.rope_max_seq_len) {
            Some((what, length)) => {
                let most = self.rope_max_seq_len;
                let why = format!("too many: {length} patches along this axis, the model has positions for {most}");
                Err(Error::Request { what, why })
            }
            None => Ok(()),
        }
    }

    /// Checks all values; `file` is what errors name.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn validate(&self, file: &Path) -> Result<()> {
        let check = Check { file };
        check.class("_class_name", self.class_name.as_ref(), "WanTransformer3DModel")?;
        // diffusers builds the same norms whatever stands here; null is taken as it takes it.
        if let Some(norm) = self.qk_norm.as_ref().filter(|norm| *norm != "rms_norm_across_heads") {
            return check.fail("qk_norm", format!("only rms_norm_across_heads is supported, found {norm:?}"));
        }
        for size in self.patch_size {
            check.within("patch_size", size, 1..=64)?;
        }
        check.within("num_attention_heads", self.num_attention_heads, WIDTH)?;
        check.within("attention_head_dim", self.attention_head_dim, 2..=4096)?;
        if !self.attention_head_dim.is_multiple_of(2) {
            let why = format!("rope rotates pairs, so it must be even, found {}", self.attention_head_dim);
            return check.fail("attention_head_dim", why);
        }
        check.width("num_attention_heads", self.num_attention_heads, self.attention_head_dim)?;
        check.within("in_channels", self.in_channels, 1..=4096)?;
        check.within("out_channels", self.out_channels(), 1..=4096)?;
        check.within("text_dim", self.text_dim, WIDTH)?;
        check.within("freq_dim", self.freq_dim, 2..=1 << 16)?;
        if !self.freq_dim.is_multiple_of(2) {
            let why = format!("half are cosines and half are sines, so it must be even, found {}", self.freq_dim);
            return check.fail("freq_dim", why);
        }
        check.within("ffn_dim", self.ffn_dim, 1..=1 << 18)?;
        check.within("num_layers", self.num_layers, LAYERS)?;
        check.within("rope_max_seq_len", self.rope_max_seq_len, 1..=1 << 16)?;
        check.epsilon("eps", self.eps)
    }
}
