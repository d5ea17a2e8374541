use std::ops::Range;

use crate::device::Device;
use crate::error::Result;
use crate::nn::{result_of, vector};
use crate::ops::{self, Activation, OutputType};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// Root-mean-square norm over the last axis.
pub(crate) struct RmsNorm {
    name: String,
    weight: Tensor, // [D]
    eps: f32,
}

impl RmsNorm {
    pub fn load(weights: &Weights, width: usize, eps: f32, device: &Device) -> Result<Self> {
        Ok(Self { name: weights.scope().into(), weight: vector(weights, "weight", width, device)?, eps })
    }

    /// For a product to read, or in full.
    pub fn forward(&self, x: &Tensor, output: OutputType) -> Result<Tensor> {
        result_of(&self.name, ops::rms_norm(x, &self.weight, self.eps, output)?)
    }

    /// With the rotation of `heads` after it; see [`ops::rms_norm_rope`].
    pub fn forward_rope(&self, x: Tensor, heads: usize, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        result_of(&self.name, ops::rms_norm_rope(x, &self.weight, self.eps, heads, cos, sin)?)
    }
}

/// Layer norm over the last axis, with or without an affine part; for products to read.
pub(crate) struct LayerNorm {
    name: String,
    affine: Option<(Tensor, Tensor)>, // weight [D], bias [D]
    eps: f32,
}

impl LayerNorm {
    pub fn load(weights: &Weights, width: usize, eps: f32, device: &Device) -> Result<Self> {
        let weight = vector(weights, "weight", width, device)?;
        let affine = Some((weight, vector(weights, "bias", width, device)?));
        Ok(Self { name: weights.scope().into(), affine, eps })
    }

    /// Without an affine part nothing of it is stored; `name` is what errors call it.
    pub fn plain(name: String, eps: f32) -> Self {
        Self { name, affine: None, eps }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let affine = self.affine.as_ref().map(|(weight, bias)| (weight, bias));
        result_of(&self.name, ops::layer_norm(x, affine, self.eps, OutputType::Operand)?)
    }

    /// With `scale` and `shift`, `D` values each, in place of an affine part: `norm(x) * scale + shift`, the adaptive norm
    /// of Peebles and Xie, arXiv 2212.09748, whose scale is 1 more than what is learned. Each of the `parts`, which cover
    /// all rows in order, has its own.
    pub fn forward_adaptive(&self, x: &Tensor, parts: &[(Range<usize>, &Tensor, &Tensor)]) -> Result<Tensor> {
        let norm = |x: &Tensor, scale: &Tensor, shift: &Tensor| {
            ops::layer_norm(x, Some((scale, shift)), self.eps, OutputType::Operand)
        };
        let out = match parts {
            [(_, scale, shift)] => norm(x, scale, shift)?,
            _ => {
                let part = |(rows, scale, shift): &(Range<usize>, &Tensor, &Tensor)| {
                    norm(&x.narrow(rows.clone())?, scale, shift)
                };
                let parts = parts.iter().map(part).collect::<Result<Vec<_>>>()?;
                ops::concat(&parts.iter().collect::<Vec<_>>())?
            }
        };
        result_of(&self.name, out)
    }
}

/// The VAE's norm over channels; for products to read.
pub(crate) struct ChannelNorm {
    name: String,
    gamma: Tensor, // [C], stored [C, 1, 1] or [C, 1, 1, 1]
}

impl ChannelNorm {
    pub fn load(weights: &Weights, channels: usize, device: &Device) -> Result<Self> {
        Ok(Self { name: weights.scope().into(), gamma: vector(weights, "gamma", channels, device)? })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, Activation::None)
    }

    /// [`forward`](Self::forward) with an activation on the result.
    pub fn forward_with(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        result_of(&self.name, ops::channel_norm(x, &self.gamma, activation, OutputType::Operand)?)
    }
}
