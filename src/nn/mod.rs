//! Layers: weights beside their shapes, `load` from a checkpoint scope, `forward`.

mod conv;
mod linear;
mod mlp;
mod norm;

pub(crate) use conv::{CausalConv3d, Conv2d, Tail};
pub(crate) use linear::Linear;
pub(crate) use mlp::Mlp;
pub(crate) use norm::{ChannelNorm, LayerNorm, RmsNorm};

use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::weights::Weights;

/// A small vector of a checkpoint, widened to F32 on the device.
pub(crate) fn vector(weights: &Weights, name: &str, len: usize, device: &Device) -> Result<Tensor> {
    Tensor::from_slice(device, [len], &weights.vector(name, len)?)
}
