use zoetrope_kernels::{self as kernels, Activation};

use super::finished;
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;

/// Applies an activation to every element.
///
/// `x` of any shape. SiLU is `x * sigmoid(x)`; GELU is its tanh form (Hendrycks and Gimpel, arXiv 1606.08415).
///
/// # Errors
/// Those of all ops.
pub fn activate(mut x: Tensor, activation: Activation) -> Result<Tensor> {
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => kernels::activate(cpu.exec(), x.data_mut()?, activation),
    }
    finished(x)
}
