use zoetrope_kernels::{self as kernels, Activation};

use super::checks::finished;
use super::dispatch::{Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan;
use crate::vulkan::constants::{LOCAL_SIZE, activation as constants};

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
        Device::Vulkan(vulkan) => {
            x.unshare()?;
            for rows in vulkan.parts(x.shape().rows(), x.shape().last()) {
                let count = rows.len() * x.shape().last();
                let run = Dispatch::new(&vulkan::ACTIVATION, &mut x).in_place().rows(&rows).sizes(&[count]);
                let run = run
                    .size_constant(LOCAL_SIZE, LOCAL)
                    .constant(constants::ACTIVATION, activation_constant(activation));
                run.groups(groups_of(count)).run(vulkan, Work::moved(2 * count))?;
            }
        }
    }
    finished(x)
}

/// The number by which shaders know an activation.
pub(super) fn activation_constant(activation: Activation) -> u32 {
    match activation {
        Activation::None => 0,
        Activation::Silu => 1,
        Activation::GeluTanh => 2,
    }
}
