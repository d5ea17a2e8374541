use zoetrope_kernels as kernels;

use super::checks::{check, finished, four};
use super::dispatch::{Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::vulkan::constants::{LOCAL_SIZE, patch as constants};
use crate::vulkan::{self, Vulkan};

/// Cuts a latent into patches, one row each.
///
/// `x` `[C, T, H, W]`, `patch` `[pt, ph, pw]`, result `[T/pt * H/ph * W/pw, C * pt * ph * pw]`: rows in the order
/// t, h, w; columns in the order c, pt, ph, pw, which is that of a strided convolution's weight.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if an axis is no multiple of the patch.
pub fn patchify(x: &Tensor, patch: [usize; 3]) -> Result<Tensor> {
    let shape = four("patchify", x, "x is [C, T, H, W]")?;
    let [c, t, h, w] = shape;
    check(is_whole([t, h, w], patch), "patchify", x.shape(), patch, "every axis is a multiple of the patch")?;
    let [pt, ph, pw] = patch;
    let mut out = Tensor::uninit(x.device(), [(t / pt) * (h / ph) * (w / pw), c * pt * ph * pw])?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::patchify(exec, x.data(), shape, patch, out)
        }),
        Device::Vulkan(vulkan) => run(vulkan, x, shape, patch, false, &mut out)?,
    }
    finished(out)
}

/// Puts patches back in their places.
///
/// `x` `[T/pt * H/ph * W/pw, pt * ph * pw * C]` with columns in the order pt, ph, pw, c; result `shape` `[C, T, H, W]`.
/// (The order differs from [`patchify`]'s, as in the reference: `WanTransformer3DModel` of diffusers.)
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if rows or columns do not fit.
pub fn unpatchify(x: &Tensor, shape: [usize; 4], patch: [usize; 3]) -> Result<Tensor> {
    let [c, t, h, w] = shape;
    let [pt, ph, pw] = patch;
    let elements = Shape::from(shape).checked_numel() == Some(x.shape().numel());
    check(elements, "unpatchify", x.shape(), shape, "as many elements")?;
    check(is_whole([t, h, w], patch), "unpatchify", shape.into(), patch, "every axis is a multiple of the patch")?;
    let expected = [(t / pt) * (h / ph) * (w / pw), c * pt * ph * pw];
    check(x.dims() == expected, "unpatchify", x.shape(), expected, "a row for each patch")?;
    let mut out = Tensor::uninit(x.device(), shape)?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::unpatchify(exec, x.data(), shape, patch, out)
        }),
        Device::Vulkan(vulkan) => run(vulkan, x, shape, patch, true, &mut out)?,
    }
    finished(out)
}

/// Whether the axes consist of whole patches, at least one.
fn is_whole(axes: [usize; 3], patch: [usize; 3]) -> bool {
    axes.iter().zip(patch).all(|(&axis, p)| axis > 0 && p > 0 && axis.is_multiple_of(p))
}

/// Dispatches the shader; `shape` is the latent's.
fn run(vulkan: &Vulkan, x: &Tensor, shape: [usize; 4], patch: [usize; 3], back: bool, out: &mut Tensor) -> Result<()> {
    let count = x.shape().numel();
    let run = Dispatch::new(&vulkan::PATCH, out).read(x).sizes(&shape).sizes(&patch);
    let run = run.size_constant(LOCAL_SIZE, LOCAL).constant(constants::UNPATCHIFY, back).groups(groups_of(count));
    run.run(vulkan, Work::moved(2 * count))
}
