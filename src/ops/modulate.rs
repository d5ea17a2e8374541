use zoetrope_kernels as kernels;

use super::{check, check_row_vector, finished};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::work::Work;

/// `x * (1 + scale) + shift`: the adaptive part of a transformer block's norm.
///
/// `x` `[.., D]`, `scale` and `shift` `D` values. Peebles and Xie, arXiv 2212.09748.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the vectors do not have `D` values.
pub fn modulate(mut x: Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    check_row_vector("modulate", &x, scale)?;
    check_row_vector("modulate", &x, shift)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), x.data_mut()?, |exec, x| {
            kernels::modulate(exec, x, scale.data(), shift.data())
        }),
    }
    finished(x)
}

/// `x + y * gate`: a residual branch with its learned gate.
///
/// `x` and `y` `[.., D]`, `gate` `D` values.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if shapes differ or `gate` does not have `D` values.
pub fn gated_add(mut x: Tensor, y: &Tensor, gate: &Tensor) -> Result<Tensor> {
    check(x.shape() == y.shape(), "gated_add", x.shape(), y.shape(), "equal shapes")?;
    check_row_vector("gated_add", &x, gate)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => cpu.run(Work::moved(3 * x.shape().numel()), x.data_mut()?, |exec, x| {
            kernels::gated_add(exec, x, y.data(), gate.data())
        }),
    }
    finished(x)
}
