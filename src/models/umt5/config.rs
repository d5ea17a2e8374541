//! Configuration of the text encoder, as transformers writes it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::models::check::{Check, LAYERS, WIDTH};
use crate::weights::json;

/// `config.json` of a UMT5 encoder; absent keys have transformers' defaults, and keys that the encoder's forward
/// pass does not use are ignored.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream, and of the text that the transformer gets.
    pub d_model: usize,
    /// Width of one attention head.
    pub d_kv: usize,
    /// Width of the gated hidden layer.
    pub d_ff: usize,
    /// Blocks of the encoder.
    pub num_layers: usize,
    /// Attention heads; `num_heads * d_kv` need not be `d_model`.
    pub num_heads: usize,
    /// Rows of each block's table of position biases.
    pub relative_attention_num_buckets: usize,
    /// Distance from which on all positions share the last bucket.
    pub relative_attention_max_distance: usize,
    /// Added under the root of the RMS norms.
    pub layer_norm_epsilon: f32,
    eos_token_id: Option<u32>,
    feed_forward_proj: String,
    // Written next to feed_forward_proj; they win over it in transformers.
    dense_act_fn: Option<Value>,
    is_gated_act: Option<Value>,
    model_type: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 250_112,
            d_model: 512,
            d_kv: 64,
            d_ff: 1024,
            num_layers: 8,
            num_heads: 6,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            eos_token_id: Some(1),
            feed_forward_proj: "gated-gelu".to_owned(),
            dense_act_fn: None,
            is_gated_act: None,
            model_type: None,
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

    /// The width of queries, keys and values: all heads together.
    pub fn inner_dim(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// The token that ends every prompt, and is all of an empty one.
    pub fn end_token(&self) -> u32 {
        self.eos_token_id.unwrap_or(1)
    }

    /// Checks that there are ids and that all lie within the vocabulary; `what` is what an error names.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub(crate) fn check_ids(&self, what: &'static str, ids: &[u32]) -> Result<()> {
        let vocabulary = self.vocab_size;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            let why = format!(
                "token id {id} is outside the text encoder's vocabulary of {vocabulary}; tokenizer and text encoder do \
                 not belong together"
            );
            return Err(Error::Request { what, why });
        }
        if ids.is_empty() {
            let why = format!("no token id is given; an empty prompt is the end token {} alone", self.end_token());
            return Err(Error::Request { what, why });
        }
        Ok(())
    }

    /// Checks all values; `file` is what errors name.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn validate(&self, file: &Path) -> Result<()> {
        let check = Check { file };
        check.class("model_type", self.model_type.as_ref(), "umt5")?;
        check.within("vocab_size", self.vocab_size, 1..=1 << 24)?;
        check.within("eos_token_id", self.end_token() as usize, 0..=self.vocab_size - 1)?;
        check.within("d_model", self.d_model, WIDTH)?;
        check.within("d_kv", self.d_kv, WIDTH)?;
        check.within("d_ff", self.d_ff, 1..=1 << 18)?;
        check.within("num_layers", self.num_layers, LAYERS)?;
        check.within("num_heads", self.num_heads, WIDTH)?;
        check.width("num_heads", self.num_heads, self.d_kv)?;
        // Half of the buckets are for positions behind; of each half, half are for single distances and the rest divide
        // the logarithm of max_distance over those.
        check.within("relative_attention_num_buckets", self.relative_attention_num_buckets, 4..=1 << 16)?;
        let single = self.relative_attention_num_buckets / 4;
        check.within("relative_attention_max_distance", self.relative_attention_max_distance, single + 1..=1 << 24)?;
        check.epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        if self.feed_forward_proj != "gated-gelu" {
            let why = format!("only gated-gelu is supported, found {:?}", self.feed_forward_proj);
            return check.fail("feed_forward_proj", why);
        }
        check.class("dense_act_fn", self.dense_act_fn.as_ref(), "gelu_new")?;
        match &self.is_gated_act {
            None | Some(Value::Null | Value::Bool(true)) => Ok(()),
            Some(other) => check.fail("is_gated_act", format!("expected true, found {}", json::short(other))),
        }
    }
}
