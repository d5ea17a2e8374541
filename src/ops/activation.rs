use zoetrope_kernels::{self as kernels, Activation};

use super::finished;
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::work::Work;

/// Applies an activation to every element.
///
/// `x` of any shape. SiLU is `x * sigmoid(x)`; GELU is its tanh form (Hendrycks and Gimpel, arXiv 1606.08415).
///
/// # Errors
/// Those of all ops.
pub fn activate(mut x: Tensor, activation: Activation) -> Result<Tensor> {
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(2 * x.shape().numel()), x.data_mut()?, |exec, x| kernels::activate(exec, x, activation))
        }
    }
    finished(x)
}
