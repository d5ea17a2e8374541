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
pub fn gated_add(x: Tensor, y: &Tensor, gate: &Tensor) -> Result<Tensor> {
    check(x.shape() == y.shape(), "gated_add", x.shape(), y.shape(), "equal shapes")?;
    gated_add_rows(x, 0, y, gate)
}

/// [`gated_add`] on rows `first..` of `x` alone, for work that is done in pieces.
///
/// `x` `[L, D]`, `y` `[l, D]` with `first + l <= L`, `gate` `D` values.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the rows lie outside `x` or `gate` does not have `D` values.
pub fn gated_add_rows(mut x: Tensor, first: usize, y: &Tensor, gate: &Tensor) -> Result<Tensor> {
    check_row_vector("gated_add", &x, gate)?;
    let width = x.shape().last();
    let inside = y.shape().last() == width && first.saturating_add(y.shape().rows()) <= x.shape().rows();
    check(inside, "gated_add", x.shape(), y.shape(), "rows of x")?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            let y_len = y.shape().numel();
            cpu.run(Work::moved(3 * y_len), x.data_mut()?, |exec, x| {
                kernels::gated_add(exec, &mut x[first * width..][..y_len], y.data(), gate.data());
            });
        }
    }
    finished(x)
}
