use zoetrope_kernels as kernels;

use super::checks::{check, check_place, check_row_vector, finished};
use super::dispatch::{Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::constants::{LOCAL_SIZE, modulate as constants};
use crate::vulkan::{self, Vulkan};

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
        Device::Vulkan(vulkan) => run(vulkan, &mut x, None, [scale, shift])?,
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
    check_place(&x, y)?;
    check_row_vector("gated_add", &x, gate)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => cpu.run(Work::moved(3 * x.shape().numel()), x.data_mut()?, |exec, x| {
            kernels::gated_add(exec, x, y.data(), gate.data())
        }),
        Device::Vulkan(vulkan) => run(vulkan, &mut x, Some(y), [gate, gate])?,
    }
    finished(x)
}

/// Dispatches the shader: with `y` it adds `y` times the last row, without it modulates by both.
fn run(vulkan: &Vulkan, x: &mut Tensor, y: Option<&Tensor>, [scale, last]: [&Tensor; 2]) -> Result<()> {
    x.unshare()?;
    let width = x.shape().last();
    for rows in vulkan.parts(x.shape().rows(), width) {
        let count = rows.len() * width;
        let run = Dispatch::new(&vulkan::MODULATE, x).in_place().rows(&rows);
        let run = match y {
            Some(y) => run.read_rows(y, &rows),
            None => run.read(scale),
        };
        let run = run.read(last).sizes(&[count, width]).groups(groups_of(count));
        let run = run.size_constant(LOCAL_SIZE, LOCAL).constant(constants::GATED_ADD, y.is_some());
        run.run(vulkan, Work::moved(if y.is_some() { 3 } else { 2 } * count))?;
    }
    Ok(())
}
