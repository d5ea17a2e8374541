//! What goes into the transformer beside the latent and the text: time and positions.

use std::ops::Range;

use super::config::Config;
use crate::device::Device;
use crate::error::Result;
use crate::nn::Linear;
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

/// The time of some tokens, as the blocks and the last norm read it.
pub(super) struct TokenTime {
    /// Which of a branch's tokens.
    pub tokens: Range<usize>,
    /// `[1, D]`.
    pub embedding: Tensor,
    /// `[6, D]`.
    pub projected: Tensor,
}

/// The rotation of every token: cosines and sines, `[T * H * W, head_dim / 2]` each.
pub(super) struct Rope {
    pub cos: Tensor,
    pub sin: Tensor,
}

impl Rope {
    /// The rotations for a grid of patches: frames, rows, columns.
    ///
    /// The pairs of a head are split among time, height and width ([`Config::rope_dims`]); angles are computed in F64, as
    /// in the reference (`WanRotaryPosEmbed`).
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if an axis is longer than the model's table of positions.
    pub fn new(config: &Config, grid: [usize; 3], device: &Device) -> Result<Self> {
        config.check_grid(grid)?;
        let table = |f: fn(f64) -> f64| {
            let [frames, height, width] = grid;
            let axes: [_; 3] = std::array::from_fn(|axis| axis_table(config.rope_dims()[axis], grid[axis], f));
            let half = config.attention_head_dim / 2;
            Tensor::from_fn(device, [frames * height * width, half], |table| {
                for (token, row) in table.chunks_exact_mut(half).enumerate() {
                    let positions = [token / (height * width), token / width % height, token % width];
                    let mut rest = row;
                    for ((dim, position), axis) in config.rope_dims().into_iter().zip(positions).zip(&axes) {
                        let (part, after) = rest.split_at_mut(dim / 2);
                        part.copy_from_slice(&axis[position * part.len()..][..part.len()]);
                        rest = after;
                    }
                }
            })
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }
}

/// `f` of the angles of every position along one axis, `[length, dim / 2]`.
fn axis_table(dim: usize, length: usize, f: fn(f64) -> f64) -> Vec<f32> {
    let frequency = move |i: usize| 1.0 / ROPE_THETA.powf((2 * i) as f64 / dim as f64);
    let row = |position: usize| (0..dim / 2).map(move |i| f(position as f64 * frequency(i)) as f32);
    (0..length).flat_map(row).collect()
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
