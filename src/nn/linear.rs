use std::ops::Range;

use crate::device::Device;
use crate::error::Result;
use crate::nn::{result_of, vector};
use crate::ops::{self, Activation, OutputType};
use crate::tensor::Tensor;
use crate::weights::{Weight, Weights};

/// A fully connected layer.
pub(crate) struct Linear {
    name: String,
    weight: Weight,       // [out, in]
    bias: Option<Tensor>, // [out]
}

impl Linear {
    /// Loads `weight` `[outputs, inputs]` and `bias`.
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, device: &Device) -> Result<Self> {
        let bias = Some(vector(weights, "bias", outputs, device)?);
        let weight = weights.matrix("weight", &[outputs, inputs])?;
        Ok(Self { name: weights.scope().into(), weight, bias })
    }

    /// Loads `weight` `[outputs, inputs]` of a layer that has no bias.
    pub fn load_unbiased(weights: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.matrix("weight", &[outputs, inputs])?;
        Ok(Self { name: weights.scope().into(), weight, bias: None })
    }

    /// Loads a convolution whose stride is its kernel, `weight` `[outputs, channels, ..kernel]`, as a layer over patches.
    pub fn load_patches(
        weights: &Weights,
        channels: usize,
        kernel: &[usize],
        outputs: usize,
        device: &Device,
    ) -> Result<Self> {
        let dims = [&[outputs, channels], kernel].concat();
        let inputs = channels * kernel.iter().product::<usize>();
        let weight = weights.matrix("weight", &dims)?.reshaped(&[outputs, inputs]);
        let bias = Some(vector(weights, "bias", outputs, device)?);
        Ok(Self { name: weights.scope().into(), weight, bias })
    }

    /// `x` `[.., in]` to `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, Activation::None)
    }

    /// [`forward`](Self::forward) with an activation on the result.
    pub fn forward_with(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        self.forward_as(x, activation, OutputType::F32)
    }

    /// `x` `[.., in]` to what a product or norm reads next.
    pub fn operand(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_as(x, Activation::None, OutputType::Operand)
    }

    /// [`forward_with`](Self::forward_with), with a chosen output dtype.
    pub fn forward_as(&self, x: &Tensor, activation: Activation, output: OutputType) -> Result<Tensor> {
        result_of(&self.name, ops::linear(x, &self.weight, self.bias.as_ref(), activation, output)?)
    }

    /// `x + gate * forward(h)`, `x` `[.., out]` being added to from row `first` on.
    pub fn forward_add(&self, x: Tensor, first: usize, h: &Tensor, gate: Option<&Tensor>) -> Result<Tensor> {
        result_of(&self.name, ops::linear_add(x, first, h, &self.weight, self.bias.as_ref(), gate)?)
    }

    /// The layer that computes outputs `range` alone, on the same weights.
    pub fn rows(&self, range: Range<usize>) -> Result<Self> {
        let bias = self.bias.as_ref().map(|bias| bias.narrow(range.clone())).transpose()?;
        Ok(Self { name: self.name.clone(), weight: self.weight.rows(range), bias })
    }
}
