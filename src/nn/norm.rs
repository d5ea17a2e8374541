use crate::device::Device;
use crate::error::Result;
use crate::nn::{result_of, vector};
use crate::ops::{self, Activation};
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

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        result_of(&self.name, ops::rms_norm(x, &self.weight, self.eps)?)
    }
}

/// Layer norm over the last axis, with or without an affine part.
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
        result_of(&self.name, ops::layer_norm(x, affine, self.eps)?)
    }
}

/// The VAE's norm over channels.
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
        result_of(&self.name, ops::channel_norm(x, &self.gamma, activation)?)
    }
}
