use crate::device::Device;
use crate::error::Result;
use crate::nn::{CausalConv3d, ChannelNorm, Linear, Tail, result_of};
use crate::ops::Activation;
use crate::tensor::Tensor;
use crate::weights::Weights;

/// Two causal convolutions with norm and SiLU before each, and a shortcut round them.
pub(super) struct ResBlock {
    name: String,
    norm1: ChannelNorm,       // [C]
    conv1: CausalConv3d,      // [C', C, 3, 3, 3]
    norm2: ChannelNorm,       // [C']
    conv2: CausalConv3d,      // [C', C', 3, 3, 3]
    shortcut: Option<Linear>, // [C', C], stored [C', C, 1, 1, 1]; absent if C' = C
}

/// What a [`ResBlock`] remembers.
#[derive(Default)]
pub(super) struct ResState {
    conv1: Tail,
    conv2: Tail,
}

impl ResBlock {
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, device: &Device) -> Result<Self> {
        let shortcut = (inputs != outputs)
            .then(|| Linear::load_patches(&weights.at("conv_shortcut"), inputs, &[1; 3], outputs, device));
        Ok(Self {
            name: weights.scope().into(),
            norm1: ChannelNorm::load(&weights.at("norm1"), inputs, device)?,
            conv1: CausalConv3d::load(&weights.at("conv1"), inputs, outputs, [3; 3], device)?,
            norm2: ChannelNorm::load(&weights.at("norm2"), outputs, device)?,
            conv2: CausalConv3d::load(&weights.at("conv2"), outputs, outputs, [3; 3], device)?,
            shortcut: shortcut.transpose()?,
        })
    }

    /// `x` `[T, H, W, C]` to `[T, H, W, C']`.
    pub fn forward(&self, x: Tensor, state: &mut ResState) -> Result<Tensor> {
        // Assigned and not shadowed: each is gone when the next is there.
        let mut h = self.norm1.forward_with(&x, Activation::Silu)?;
        h = self.conv1.forward(&h, &mut state.conv1)?;
        h = self.norm2.forward_with(&h, Activation::Silu)?;
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&x)?,
            None => x,
        };
        result_of(&self.name, self.conv2.forward_add(x, &h, &mut state.conv2)?)
    }
}
