use crate::device::Device;
use crate::error::Result;
use crate::nn::Linear;
use crate::ops::{Activation, OutputType};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// The hidden layer is several times as wide as its input: this many rows at a time keep it from being the peak.
const CHUNK_ROWS: usize = 4096;

/// Two layers with a GELU (tanh form) between them.
pub(crate) struct Mlp {
    up: Linear,   // [hidden, D]
    down: Linear, // [D, hidden]
}

impl Mlp {
    /// Loads the layers in the scopes `up` and `down`.
    pub fn load(
        weights: &Weights,
        (up, down): (&str, &str),
        (inputs, hidden, outputs): (usize, usize, usize),
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            up: Linear::load(&weights.at(up), inputs, hidden, device)?,
            down: Linear::load(&weights.at(down), hidden, outputs, device)?,
        })
    }

    /// `x` `[L, D]` to `[L, D']`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.hidden(x)?)
    }

    /// `x + forward(h) * gate`, some rows at a time; `x` is added to from row `start` on.
    pub fn forward_gated_add(&self, mut x: Tensor, start: usize, h: &Tensor, gate: &Tensor) -> Result<Tensor> {
        let rows = h.shape().rows();
        for first in (0..rows).step_by(CHUNK_ROWS) {
            let h = self.hidden(&h.narrow(first..rows.min(first + CHUNK_ROWS))?)?;
            x = self.down.forward_add(x, start + first, &h, Some(gate))?;
        }
        Ok(x)
    }

    fn hidden(&self, x: &Tensor) -> Result<Tensor> {
        self.up.forward_as(x, Activation::GeluTanh, OutputType::Operand)
    }
}
