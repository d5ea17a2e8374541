use zoetrope_kernels as kernels;

use super::checks::{check, finished};
use super::dispatch::{Dispatch, LOCAL, copy};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::vulkan::constants::LOCAL_SIZE;
use crate::vulkan::{self, Vulkan};

/// `[C, ..]` to `[.., C]`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `x` is a scalar.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    check(x.shape().rank() >= 1, "channels_last", x.shape(), x.shape(), "x is [C, ..]")?;
    let mut dims = x.dims().to_vec();
    dims.rotate_left(1);
    let mut out = Tensor::uninit(x.device(), Shape::new(&dims))?;
    match x.device() {
        Device::Cpu(_) if x.shape().numel() == 0 => {}
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::channels_last(exec, x.data(), x.dims()[0], out)
        }),
        Device::Vulkan(_) if x.shape().numel() == 0 => {}
        Device::Vulkan(vulkan) => transpose(vulkan, x, [x.dims()[0], x.shape().numel() / x.dims()[0]], &mut out)?,
    }
    finished(out)
}

/// `[.., C]` to `[C, ..]`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `x` is a scalar.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    check(x.shape().rank() >= 1, "channels_first", x.shape(), x.shape(), "x is [.., C]")?;
    let mut dims = x.dims().to_vec();
    dims.rotate_right(1);
    let mut out = Tensor::uninit(x.device(), Shape::new(&dims))?;
    match x.device() {
        Device::Cpu(_) if x.shape().numel() == 0 => {}
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::channels_first(exec, x.data(), x.shape().last(), out)
        }),
        Device::Vulkan(_) if x.shape().numel() == 0 => {}
        Device::Vulkan(vulkan) => transpose(vulkan, x, [x.shape().rows(), x.shape().last()], &mut out)?,
    }
    finished(out)
}

/// The rows of `x` over and over.
///
/// `x` `[L, D]`, result `[times * L, D]`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `x` is no matrix.
pub fn repeat_rows(x: &Tensor, times: usize) -> Result<Tensor> {
    check(x.shape().rank() == 2, "repeat_rows", x.shape(), [times], "x is [L, D]")?;
    let mut out = x.uninit_like([x.dims()[0].saturating_mul(times), x.dims()[1]])?;
    match x.device() {
        Device::Cpu(_) if x.shape().numel() == 0 => {}
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * out.shape().numel()), out.data_mut()?, |_, out| {
            out.chunks_exact_mut(x.data().len()).for_each(|copy| copy.copy_from_slice(x.data()));
        }),
        Device::Vulkan(vulkan) => {
            let len = x.shape().numel();
            for i in 0..times {
                copy(vulkan, (x, 0..len), (&out, i * len..(i + 1) * len), Work::moved(2 * len))?;
            }
        }
    }
    finished(out)
}

/// Edge of the square that a workgroup transposes.
const TILE: usize = 32;

/// Dispatches the shader on `x` as a matrix of this shape.
fn transpose(vulkan: &Vulkan, x: &Tensor, [rows, columns]: [usize; 2], out: &mut Tensor) -> Result<()> {
    let run = Dispatch::new(&vulkan::LAYOUT, out).read(x).sizes(&[rows, columns]).size_constant(LOCAL_SIZE, LOCAL);
    run.groups(rows.div_ceil(TILE) * columns.div_ceil(TILE)).run(vulkan, Work::moved(2 * rows * columns))
}
