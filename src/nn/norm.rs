use crate::device::Device;
use crate::error::Result;
use crate::nn::vector;
use crate::ops;
use crate::tensor::Tensor;
use crate::weights::Weights;

/// Root-mean-square norm over the last axis.
pub(crate) struct RmsNorm {
    weight: Tensor, // [D]
    eps: f32,
}

impl RmsNorm {
    pub fn load(weights: &Weights, width: usize, eps: f32, device: &Device) -> Result<Self> {
        Ok(Self { weight: vector(weights, "weight", width, device)?, eps })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.eps)
    }
}

/// Layer norm over the last axis, with or without an affine part.
pub(crate) struct LayerNorm {
    affine: Option<(Tensor, Tensor)>, // weight [D], bias [D]
    eps: f32,
}

impl LayerNorm {
    pub fn load(weights: &Weights, width: usize, eps: f32, device: &Device) -> Result<Self> {
        let weight = vector(weights, "weight", width, device)?;
        Ok(Self { affine: Some((weight, vector(weights, "bias", width, device)?)), eps })
    }

    pub fn plain(eps: f32) -> Self {
        Self { affine: None, eps }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, self.affine.as_ref().map(|(weight, bias)| (weight, bias)), self.eps)
    }
}

/// The VAE's norm over channels.
pub(crate) struct ChannelNorm {
    gamma: Tensor, // [C], stored [C, 1, 1] or [C, 1, 1, 1]
}

impl ChannelNorm {
    pub fn load(weights: &Weights, channels: usize, device: &Device) -> Result<Self> {
        Ok(Self { gamma: vector(weights, "gamma", channels, device)? })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::channel_norm(x, &self.gamma)
    }
}
