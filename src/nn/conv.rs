use crate::device::Device;
use crate::error::Result;
use crate::nn::{result_of, vector};
use crate::ops::{self, Conv3dParams};
use crate::tensor::Tensor;
use crate::weights::{Weight, Weights};

/// What a causal convolution remembers between calls.
#[derive(Debug, Default)]
pub(crate) enum Tail {
    /// Nothing yet: zeros stand before the first frame.
    #[default]
    Start,
    /// The last frames of the input so far, at most `kt - 1`.
    Frames(Tensor),
}

impl Tail {
    fn frames(&self) -> Option<&Tensor> {
        match self {
            Self::Start => None,
            Self::Frames(frames) => Some(frames),
        }
    }
}

/// A convolution over time and space that sees no future: output frame t depends on input frames up to t.
pub(crate) struct CausalConv3d {
    name: String,
    weight: Weight, // [out, in, kt, kh, kw]
    bias: Tensor,   // [out]
    kernel: [usize; 3],
}

impl CausalConv3d {
    /// Loads a convolution with odd spatial kernel, stride 1 and "same" padding in space.
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, kernel: [usize; 3], device: &Device) -> Result<Self> {
        let [kt, kh, kw] = kernel;
        let weight = weights.matrix("weight", &[outputs, inputs, kt, kh, kw])?;
        let bias = vector(weights, "bias", outputs, device)?;
        Ok(Self { name: weights.scope().into(), weight, bias, kernel })
    }

    /// `x` `[T, H, W, in]`, the frames after those that `tail` remembers, to `[T, H, W, out]`.
    pub fn forward(&self, x: &Tensor, tail: &mut Tail) -> Result<Tensor> {
        let params = self.params(tail);
        let out = result_of(&self.name, ops::conv3d(x, tail.frames(), &self.weight, Some(&self.bias), params)?)?;
        self.remember(x, tail)?;
        Ok(out)
    }

    /// `x + forward(h)`, `x` `[T, H, W, out]`.
    pub fn forward_add(&self, x: Tensor, h: &Tensor, tail: &mut Tail) -> Result<Tensor> {
        let params = self.params(tail);
        let sum = ops::conv3d_add(x, h, tail.frames(), &self.weight, Some(&self.bias), params)?;
        let sum = result_of(&self.name, sum)?;
        self.remember(h, tail)?;
        Ok(sum)
    }

    fn params(&self, tail: &Tail) -> Conv3dParams {
        let [kt, kh, kw] = self.kernel;
        let known = tail.frames().map_or(0, |frames| frames.dims()[0]);
        Conv3dParams { stride: [1; 3], pad_front: kt - 1 - known, pad: [kh / 2, kh / 2, kw / 2, kw / 2] }
    }

    fn remember(&self, x: &Tensor, tail: &mut Tail) -> Result<()> {
        let taps = self.kernel[0];
        if taps > 1 {
            if x.dims()[0] >= taps - 1 {
                // Nothing of it remains: the new frames take its place in memory.
                *tail = Tail::Start;
            }
            *tail = Tail::Frames(ops::last_frames(tail.frames(), x, taps - 1)?);
        }
        Ok(())
    }
}

/// A 2D convolution of every frame, stride 1, "same" padding.
pub(crate) struct Conv2d {
    name: String,
    weight: Weight, // [out, in, 1, kh, kw], stored [out, in, kh, kw]
    bias: Tensor,   // [out]
    kernel: usize,
}

impl Conv2d {
    pub fn load(weights: &Weights, inputs: usize, outputs: usize, kernel: usize, device: &Device) -> Result<Self> {
        let weight = weights.matrix("weight", &[outputs, inputs, kernel, kernel])?;
        let weight = weight.reshaped(&[outputs, inputs, 1, kernel, kernel]);
        let bias = vector(weights, "bias", outputs, device)?;
        Ok(Self { name: weights.scope().into(), weight, bias, kernel })
    }

    /// `x` `[T, H, W, in]` to `[T, H, W, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let params = Conv3dParams { stride: [1; 3], pad_front: 0, pad: [self.kernel / 2; 4] };
        result_of(&self.name, ops::conv3d(x, None, &self.weight, Some(&self.bias), params)?)
    }
}
