use zoetrope_kernels as kernels;

use super::{check, check_row_vector, finished};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::work::Work;

/// `x + y`, element by element; shapes equal.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the shapes differ.
pub fn add(mut x: Tensor, y: &Tensor) -> Result<Tensor> {
    check(x.shape() == y.shape(), "add", x.shape(), y.shape(), "equal shapes")?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(3 * x.shape().numel()), x.data_mut()?, |exec, x| kernels::add(exec, x, y.data()))
        }
    }
    finished(x)
}

/// `x * y`, element by element; shapes equal.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the shapes differ.
pub fn mul(mut x: Tensor, y: &Tensor) -> Result<Tensor> {
    check(x.shape() == y.shape(), "mul", x.shape(), y.shape(), "equal shapes")?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(3 * x.shape().numel()), x.data_mut()?, |exec, x| kernels::mul(exec, x, y.data()))
        }
    }
    finished(x)
}

/// `x * scale + shift` with one scale and one shift for each position of the last axis.
///
/// `x` `[.., C]`, `scale` and `shift` `C` values.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the vectors do not have `C` values.
pub fn affine(mut x: Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    check_row_vector("affine", &x, scale)?;
    check_row_vector("affine", &x, shift)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), x.data_mut()?, |exec, x| {
            kernels::affine(exec, x, scale.data(), shift.data())
        }),
    }
    finished(x)
}

/// Every element limited to `low..=high`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `low` is above `high` or one of them is NaN.
pub fn clamp(mut x: Tensor, low: f32, high: f32) -> Result<Tensor> {
    check(low <= high, "clamp", x.shape(), x.shape(), "the low bound is at most the high one")?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(2 * x.shape().numel()), x.data_mut()?, |exec, x| kernels::clamp(exec, x, low, high))
        }
    }
    finished(x)
}
