use zoetrope_kernels as kernels;

use super::checks::{check, check_place, check_row_vector, finished};
use super::dispatch::{Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::constants::{LOCAL_SIZE, arithmetic as constants};
use crate::vulkan::{self, Vulkan};

/// `x + y`, element by element; shapes equal.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the shapes differ.
pub fn add(mut x: Tensor, y: &Tensor) -> Result<Tensor> {
    check(x.shape() == y.shape(), "add", x.shape(), y.shape(), "equal shapes")?;
    check_place(&x, y)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(3 * x.shape().numel()), x.data_mut()?, |exec, x| kernels::add(exec, x, y.data()))
        }
        Device::Vulkan(vulkan) => run(vulkan, ADD, &mut x, Some((y, true)), None, [0.0; 2])?,
    }
    finished(x)
}

/// `x * y`, element by element; shapes equal.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the shapes differ.
pub fn mul(mut x: Tensor, y: &Tensor) -> Result<Tensor> {
    check(x.shape() == y.shape(), "mul", x.shape(), y.shape(), "equal shapes")?;
    check_place(&x, y)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(3 * x.shape().numel()), x.data_mut()?, |exec, x| kernels::mul(exec, x, y.data()))
        }
        Device::Vulkan(vulkan) => run(vulkan, MUL, &mut x, Some((y, true)), None, [0.0; 2])?,
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
        Device::Vulkan(vulkan) => run(vulkan, AFFINE, &mut x, Some((scale, false)), Some(shift), [0.0; 2])?,
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
        Device::Vulkan(vulkan) => run(vulkan, CLAMP, &mut x, None, None, [low, high])?,
    }
    finished(x)
}

/// The numbers by which the shader knows the ops of this file.
const ADD: u32 = 0;
const MUL: u32 = 1;
const AFFINE: u32 = 2;
const CLAMP: u32 = 3;

/// Dispatches the shader; `a` comes with whether it is of x's shape and not a row.
fn run(
    vulkan: &Vulkan,
    op: u32,
    x: &mut Tensor,
    a: Option<(&Tensor, bool)>,
    b: Option<&Tensor>,
    bounds: [f32; 2],
) -> Result<()> {
    x.unshare()?;
    let width = x.shape().last();
    for rows in vulkan.parts(x.shape().rows(), width) {
        let count = rows.len() * width;
        let whole = a.is_some_and(|(_, whole)| whole);
        let run = Dispatch::new(&vulkan::ARITHMETIC, x).in_place().rows(&rows);
        let run = match a {
            Some((a, true)) => run.read_rows(a, &rows),
            a => run.maybe(a.map(|(a, _)| a)),
        };
        let run = run.maybe(b).sizes(&[count, width]).scalars(&bounds);
        let run = run.size_constant(LOCAL_SIZE, LOCAL).constant(constants::OP, op).groups(groups_of(count));
        run.run(vulkan, Work::moved(if whole { 3 } else { 2 } * count))?;
    }
    Ok(())
}
