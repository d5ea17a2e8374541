//! The text encoder `UMT5EncoderModel`.

use super::config::Config;
use crate::device::Device;
use crate::error::Result;
use crate::nn::{Linear, RmsNorm, Table, result_of};
use crate::ops::{self, Activation, AttentionBias, KeyValue, OutputType};
use crate::tensor::Tensor;
use crate::weights::{Weight, Weights};

/// UMT5's encoder: T5 v1.1 with a table of relative positions in every layer.
///
/// Raffel et al., arXiv 1910.10683; Chung et al., arXiv 2304.09151; transformers' `modeling_umt5.py`.
pub struct Encoder {
    embedding: Weight, // [vocab, D]
    layers: Vec<Layer>,
    final_norm: RmsNorm, // [D]
    config: Config,
    weights: Weights,
}

struct Layer {
    name: String,
    norm1: RmsNorm,   // [D]
    q: Linear,        // [heads * d_kv, D]
    k: Linear,        // [heads * d_kv, D]
    v: Linear,        // [heads * d_kv, D]
    o: Linear,        // [D, heads * d_kv]
    positions: Table, // [buckets, heads]
    norm2: RmsNorm,   // [D]
    wi_0: Linear,     // [d_ff, D]
    wi_1: Linear,     // [d_ff, D]
    wo: Linear,       // [D, d_ff]
}

impl Encoder {
    /// Loads the encoder from a checkpoint scope; matrices stay where they are stored.
    ///
    /// # Errors
    /// [`Checkpoint`](crate::Error::Checkpoint) if a tensor is missing or misshapen.
    pub fn load(weights: &Weights, config: Config, device: &Device) -> Result<Self> {
        let weights = &weights.on(device);
        let encoder = weights.at("encoder");
        let layer = |i| Layer::load(&encoder.at("block").at(i), &config, device);
        Ok(Self {
            embedding: weights.lookup("shared.weight", &[config.vocab_size, config.d_model])?,
            layers: (0..config.num_layers).map(layer).collect::<Result<_>>()?,
            final_norm: norm(&encoder.at("final_layer_norm"), &config, device)?,
            config,
            weights: weights.clone(),
        })
    }

    /// The embeddings `[L, D]` of a prompt's token ids, without padding, on a handle of the device that it was loaded for.
    ///
    /// # Errors
    /// [`Request`](crate::Error::Request) if there is no id or one lies outside the vocabulary,
    /// [`Checkpoint`](crate::Error::Checkpoint) if the file changed, [`Cancelled`](crate::Error::Cancelled),
    /// [`OutOfMemory`](crate::Error::OutOfMemory).
    pub fn forward(&self, device: &Device, ids: &[u32]) -> Result<Tensor> {
        self.config.check_ids("token ids", ids)?;
        self.weights.check_unchanged()?;
        let buckets = Buckets::new(ids.len(), &self.config);
        let mut x = result_of("shared", ops::embedding(device, &self.embedding, ids)?)?;
        for layer in &self.layers {
            self.weights.check_unchanged()?;
            x = layer.forward(x, &buckets, &self.config)?;
        }
        self.final_norm.forward(&x, OutputType::F32)
    }
}

fn norm(weights: &Weights, config: &Config, device: &Device) -> Result<RmsNorm> {
    RmsNorm::load(weights, config.d_model, config.layer_norm_epsilon, device)
}

impl Layer {
    fn load(weights: &Weights, config: &Config, device: &Device) -> Result<Self> {
        let (dim, inner) = (config.d_model, config.inner_dim());
        let attention = weights.at("layer.0.SelfAttention");
        let ffn = weights.at("layer.1.DenseReluDense");
        let (buckets, heads) = (config.relative_attention_num_buckets, config.num_heads);
        Ok(Self {
            name: weights.scope().into(),
            norm1: norm(&weights.at("layer.0.layer_norm"), config, device)?,
            q: Linear::load_unbiased(&attention.at("q"), dim, inner)?,
            k: Linear::load_unbiased(&attention.at("k"), dim, inner)?,
            v: Linear::load_unbiased(&attention.at("v"), dim, inner)?,
            o: Linear::load_unbiased(&attention.at("o"), inner, dim)?,
            positions: Table::load(&attention, "relative_attention_bias.weight", buckets, heads, device)?,
            norm2: norm(&weights.at("layer.1.layer_norm"), config, device)?,
            wi_0: Linear::load_unbiased(&ffn.at("wi_0"), dim, config.d_ff)?,
            wi_1: Linear::load_unbiased(&ffn.at("wi_1"), dim, config.d_ff)?,
            wo: Linear::load_unbiased(&ffn.at("wo"), config.d_ff, dim)?,
        })
    }

    /// `x` `[L, D]`. Scores are not scaled: T5 folds the scale into its initialisation.
    fn forward(&self, x: Tensor, buckets: &Buckets, config: &Config) -> Result<Tensor> {
        let h = self.norm1.forward(&x, OutputType::Operand)?;
        let bias = buckets.bias(&self.positions.values()?, config.num_heads, x.device())?;
        let bias = AttentionBias::PerHead(result_of(self.positions.name(), bias)?);
        let keys = KeyValue { bias, ..KeyValue::new(self.k.operand(&h)?, self.v.operand(&h)?) };
        let y = ops::attention(&self.q.operand(&h)?, &[keys], config.num_heads, 1.0, OutputType::Operand)?;
        let x = self.o.forward_add(x, 0, &y, None)?;
        let h = self.norm2.forward(&x, OutputType::Operand)?;
        let gate = self.wi_0.forward_with(&h, Activation::GeluTanh)?;
        let h = ops::mul(gate, &self.wi_1.forward(&h)?)?;
        result_of(&self.name, self.wo.forward_add(x, 0, &h, None)?)
    }
}

/// The bucket of every distance from query to key; the same for all layers.
struct Buckets {
    length: usize,
    /// Indexed by `key - query + length - 1`.
    by_distance: Vec<usize>,
}

impl Buckets {
    fn new(length: usize, config: &Config) -> Self {
        let last = length as i64 - 1;
        let bucket =
            |distance| bucket(distance, config.relative_attention_num_buckets, config.relative_attention_max_distance);
        Self { length, by_distance: (-last..=last).map(bucket).collect() }
    }

    /// `[heads, L, L]` from a table `[buckets, heads]`.
    fn bias(&self, table: &[f32], heads: usize, device: &Device) -> Result<Tensor> {
        let fill = |bias: &mut [f32]| {
            for (row, values) in bias.chunks_exact_mut(self.length).enumerate() {
                let (head, query) = (row / self.length, row % self.length);
                let distances = &self.by_distance[self.length - 1 - query..];
                for (value, &bucket) in values.iter_mut().zip(distances) {
                    *value = table[bucket * heads + head];
                }
            }
        };
        Tensor::from_fn(device, [heads, self.length, self.length], fill)
    }
}

/// T5's bidirectional bucket of a distance: exact for near keys, logarithmic up to `max_distance`, one for the rest.
///
/// The logarithm is taken in F32, as in the reference, whose borders it decides.
fn bucket(distance: i64, buckets: usize, max_distance: usize) -> usize {
    let half = buckets / 2;
    let side = if distance > 0 { half } else { 0 };
    let exact = half / 2;
    let distance = distance.unsigned_abs() as usize;
    if distance < exact {
        return side + distance;
    }
    let log = (distance as f32 / exact as f32).ln() / (max_distance as f64 / exact as f64).ln() as f32;
    let steps = (log * (half - exact) as f32) as usize;
    side + (exact + steps).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_exact_near_and_logarithmic_far() {
        let at = |distance| bucket(distance, 32, 128);
        assert_eq!([0, -1, -7, -8, -127, -128, -4000].map(at), [0, 1, 7, 8, 15, 15, 15]);
        assert_eq!([1, 7, 8, 12, 200].map(at), [17, 23, 24, 25, 31]);
    }
}
