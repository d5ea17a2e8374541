use zoetrope_kernels as kernels;

use super::{LOCAL, check, check_place, finished, four, groups_of};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::{self, Dispatch};
use crate::work::Work;

/// Turns two halves of the channels into two frames: the second half of an upsampling over time.
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
                vulkan.run(Work::moved(2 * count), run.constant(0, LOCAL as u32).groups(groups_of(count)))?;
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
            check(
                before.shape().rank() == 4 && before.dims()[1..] == [h, w, c],
                "last_frames",
                x.shape(),
                before.shape(),
                "frames of one size",
            )?;
            check_place(x, before)?;
            before.dims()[0].min(count - from_x)
        }
        None => 0,
    };
    let mut out = Tensor::uninit(x.device(), [from_before + from_x, h, w, c])?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * out.shape().numel()), out.data_mut()?, |_, out| {
            let (head, rest) = out.split_at_mut(from_before * h * w * c);
            if let Some(before) = before {
                head.copy_from_slice(&before.data()[before.shape().numel() - head.len()..]);
            }
            rest.copy_from_slice(&x.data()[x.shape().numel() - rest.len()..]);
        }),
        Device::Vulkan(vulkan) => {
            let frame = h * w * c;
            let (to, start) = out.on(vulkan)?;
            if let Some(before) = before {
                let (from, first) = before.on(vulkan)?;
                let first = first + before.shape().numel() - from_before * frame;
                vulkan.copy((from, first), (to, start), from_before * frame, Work::moved(2 * from_before * frame))?;
            }
            let (from, first) = x.on(vulkan)?;
            let (from, to) = ((from, first + (frames - from_x) * frame), (to, start + from_before * frame));
            vulkan.copy(from, to, from_x * frame, Work::moved(2 * from_x * frame))?;
        }
    }
    finished(out)
}
