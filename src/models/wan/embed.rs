//! What goes into the transformer beside the latent: time, text and positions.

use super::Config;
use crate::device::Device;
use crate::error::Result;
use crate::nn::{Linear, Mlp};
use crate::ops::{self, Activation};
use crate::tensor::Tensor;
use crate::weights::Weights;

const MAX_PERIOD: f32 = 10_000.0;
const ROPE_THETA: f64 = 10_000.0;

/// Embeds a timestep: sinusoid, two layers, and a projection to the modulation of the blocks.
pub(super) struct TimeEmbedding {
    linear_1: Linear,   // [D, freq_dim]
    linear_2: Linear,   // [D, D]
    projection: Linear, // [6 D, D]
    freq_dim: usize,
}

impl TimeEmbedding {
    pub fn load(weights: &Weights, config: &Config, device: &Device) -> Result<Self> {
        let dim = config.inner_dim();
        let embedder = weights.at("time_embedder");
        Ok(Self {
            linear_1: Linear::load(&embedder.at("linear_1"), config.freq_dim, dim, device)?,
            linear_2: Linear::load(&embedder.at("linear_2"), dim, dim, device)?,
            projection: Linear::load(&weights.at("time_proj"), dim, 6 * dim, device)?,
            freq_dim: config.freq_dim,
        })
    }

    /// The embedding `[1, D]` and its projection `[6, D]` for `timestep` (in 0..=1000).
    pub fn forward(&self, timestep: f32, device: &Device) -> Result<(Tensor, Tensor)> {
        let waves = Tensor::from_slice(device, [1, self.freq_dim], &sinusoid(timestep, self.freq_dim))?;
        let embedding = self.linear_2.forward(&self.linear_1.forward_with(&waves, Activation::Silu)?)?;
        let projected = self.projection.forward(&ops::activate(embedding.clone(), Activation::Silu)?)?;
        let dim = embedding.shape().last();
        Ok((embedding, projected.reshape([6, dim])?))
    }
}

/// Cosines, then sines, of `timestep` times `width / 2` falling frequencies.
///
/// Frequencies and arguments are rounded to F32 where the reference rounds them: at timestep 1000 a correctly rounded
/// argument would differ from it by 6e-5. `get_timestep_embedding` of diffusers' `embeddings.py`; Vaswani et al.,
/// arXiv 1706.03762.
fn sinusoid(timestep: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let argument = |i: usize| {
        let exponent = -MAX_PERIOD.ln() * i as f32 / half as f32;
        f64::from(timestep * f64::from(exponent).exp() as f32)
    };
    let cos = (0..half).map(|i| argument(i).cos() as f32);
    let sin = (0..half).map(|i| argument(i).sin() as f32);
    cos.chain(sin).collect()
}

/// Projects text embeddings to the transformer's width.
pub(super) struct TextEmbedding {
    mlp: Mlp, // text_dim to D to D
}

impl TextEmbedding {
    pub fn load(weights: &Weights, config: &Config, device: &Device) -> Result<Self> {
        let dim = config.inner_dim();
        let names = ("linear_1", "linear_2");
        Ok(Self { mlp: Mlp::load(&weights.at("text_embedder"), names, (config.text_dim, dim, dim), device)? })
    }

    /// `[L, text_dim]` to `[L, D]`.
    pub fn forward(&self, text: &Tensor) -> Result<Tensor> {
        self.mlp.forward(text)
    }
}

/// The cosines and sines of every token's position, `[T * H * W, head_dim / 2]` each.
///
/// The pairs of a head are split among time, height and width ([`Config::rope_dims`]); computed in F64, as in the
/// reference (`WanRotaryPosEmbed`).
///
/// # Errors
/// [`Error::Request`](crate::Error::Request) if an axis is longer than the model's table of positions.
pub(super) fn rope_tables(config: &Config, grid: [usize; 3], device: &Device) -> Result<(Tensor, Tensor)> {
    config.check_grid(grid)?;
    // angles[axis][position * half + i]
    let angles: Vec<Vec<f64>> = (config.rope_dims().into_iter().zip(grid))
        .map(|(dim, length)| {
            let frequency = move |i: usize| 1.0 / ROPE_THETA.powf((2 * i) as f64 / dim as f64);
            (0..length).flat_map(|position| (0..dim / 2).map(move |i| position as f64 * frequency(i))).collect()
        })
        .collect();
    let halves = config.rope_dims().map(|dim| dim / 2);
    let [frames, height, width] = grid;
    let mut all = Vec::with_capacity(frames * height * width * config.attention_head_dim / 2);
    for t in 0..frames {
        for h in 0..height {
            for w in 0..width {
                for (axis, position) in [t, h, w].into_iter().enumerate() {
                    all.extend_from_slice(&angles[axis][position * halves[axis]..][..halves[axis]]);
                }
            }
        }
    }
    let shape = [frames * height * width, config.attention_head_dim / 2];
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f32> = all.iter().map(|&angle| f(angle) as f32).collect();
        Tensor::from_slice(device, shape, &values)
    };
    Ok((table(f64::cos)?, table(f64::sin)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sinusoid_has_cosines_first() {
        assert_eq!(sinusoid(0.0, 4), [1.0, 1.0, 0.0, 0.0]);
        let waves = sinusoid(999.0, 256);
        assert_eq!(waves.len(), 256);
        assert!((waves[0] - 999f32.cos()).abs() < 1e-6 && (waves[128] - 999f32.sin()).abs() < 1e-6);
    }
}
