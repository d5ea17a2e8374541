use zoetrope_kernels as kernels;

use super::checks::{check, check_place, finished, four};
use super::dispatch::{Dispatch, LOCAL, copy, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan;
use crate::vulkan::constants::LOCAL_SIZE;

/// Makes two frames of the two halves of the channels: the second half of an upsampling over time.
///
/// `x` `[T, H, W, 2C]`, result `[2T, H, W, C]`: frame `2t + j` holds channels `jC..(j + 1)C` of frame `t`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `x` is not video with an even number of channels.
pub fn interleave_frames(x: &Tensor) -> Result<Tensor> {
    let shape = four("interleave_frames", x, "x is [T, H, W, 2C]")?;
    let [t, h, w, c] = shape;
    check(c % 2 == 0, "interleave_frames", x.shape(), x.shape(), "an even number of channels")?;
    let mut out = Tensor::uninit(x.device(), [2 * t, h, w, c / 2])?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::interleave_frames(exec, x.data(), shape, out)
        }),
        Device::Vulkan(vulkan) => {
            for frames in vulkan.parts(t, h * w * c) {
                let count = frames.len() * h * w * c;
                let run =
                    Dispatch::new(&vulkan::FRAMES, &mut out).within(frames.start * h * w * c..frames.end * h * w * c);
                let run = run.read_rows(x, &(frames.start * h * w..frames.end * h * w)).sizes(&[count, h * w, c / 2]);
                run.size_constant(LOCAL_SIZE, LOCAL).groups(groups_of(count)).run(vulkan, Work::moved(2 * count))?;
            }
        }
    }
    finished(out)
}

/// A copy of the last `count` frames of `before` followed by `x`; fewer if there are not so many.
///
/// `x` and `before` `[T, H, W, C]`. The copy holds nothing else in memory.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the frames differ in size.
pub fn last_frames(before: Option<&Tensor>, x: &Tensor, count: usize) -> Result<Tensor> {
    let [frames, h, w, c] = four("last_frames", x, "x is [T, H, W, C]")?;
    let from_x = frames.min(count);
    let from_before = match before {
        Some(before) => {
            let fits = before.shape().rank() == 4 && before.dims()[1..] == [h, w, c] && before.dtype() == x.dtype();
            check(fits, "last_frames", x.shape(), before.shape(), "frames of one size and type")?;
            check_place(x, before)?;
            before.dims()[0].min(count - from_x)
        }
        None => 0,
    };
    let mut out = x.uninit_like([from_before + from_x, h, w, c])?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * out.shape().numel()), out.data_mut()?, |exec, out| {
            let (head, rest) = out.split_at_mut(from_before * h * w * c);
            if let Some(before) = before {
                kernels::copy(exec, &before.data()[before.shape().numel() - head.len()..], head);
            }
            kernels::copy(exec, &x.data()[x.shape().numel() - rest.len()..], rest);
        }),
        Device::Vulkan(vulkan) => {
            let (head, all) = (from_before * h * w * c, out.shape().numel());
            let last = |x: &Tensor, len: usize| x.shape().numel() - len..x.shape().numel();
            if let Some(before) = before {
                copy(vulkan, (before, last(before, head)), (&out, 0..head), Work::moved(2 * head))?;
            }
            copy(vulkan, (x, last(x, all - head)), (&out, head..all), Work::moved(2 * (all - head)))?;
        }
    }
    finished(out)
}
