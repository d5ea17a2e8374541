//! What ops check before and after they run.

use crate::error::{DeviceFault, Error, Result};
use crate::tensor::{Shape, Tensor};

/// An [`Error::Shape`] unless `fits`.
pub(super) fn check(
    fits: bool,
    op: &'static str,
    left: Shape,
    right: impl Into<Shape>,
    why: &'static str,
) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::Shape { op, left, right: right.into(), why }) }
}

/// Checks that `vector` has one value for each position of `x`'s last axis.
pub(super) fn check_row_vector(op: &'static str, x: &Tensor, vector: &Tensor) -> Result<()> {
    let width = x.shape().last();
    let fits = x.shape().rank() >= 1 && width > 0 && vector.shape().numel() == width;
    check(fits, op, x.shape(), vector.shape(), "one value for each position of a last axis that is not empty")?;
    check_place(x, vector)
}

/// Checks that two operands live where one op can read both.
pub(super) fn check_place(x: &Tensor, y: &Tensor) -> Result<()> {
    if x.device().same_place(y.device()) {
        return Ok(());
    }
    let why = format!("{:?} and {:?}; copy one to the other's device", x.device(), y.device());
    Err(Error::Device { fault: DeviceFault::Elsewhere, why })
}

/// The axes of a rank-4 tensor.
pub(super) fn four(op: &'static str, x: &Tensor, why: &'static str) -> Result<[usize; 4]> {
    x.dims().try_into().map_err(|_| Error::Shape { op, left: x.shape(), right: x.shape(), why })
}

/// An op's result, unless somebody asked to stop: then the kernel returned early and not all of it is written.
pub(super) fn finished(out: Tensor) -> Result<Tensor> {
    out.device().check()?;
    Ok(out)
}
