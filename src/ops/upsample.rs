use zoetrope_kernels as kernels;

use super::checks::{check, finished, four};
use super::dispatch::{Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan;
use crate::vulkan::constants::LOCAL_SIZE;

/// Repeats every pixel `factor[0]` times downwards and `factor[1]` times to the right.
///
/// `x` `[T, H, W, C]`, result `[T, fh * H, fw * W, C]`: "nearest-exact" at whole factors.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `x` is not video or a factor is zero.
pub fn upsample_nearest(x: &Tensor, factor: [usize; 2]) -> Result<Tensor> {
    let shape = four("upsample_nearest", x, "x is [T, H, W, C]")?;
    check(!factor.contains(&0), "upsample_nearest", x.shape(), factor, "factors are not zero")?;
    let ([t, h, w, c], [fh, fw]) = (shape, factor);
    let mut out = Tensor::uninit(x.device(), [t, h.saturating_mul(fh), w.saturating_mul(fw), c])?;
    match x.device() {
        Device::Cpu(cpu) => {
            cpu.run(Work::moved(x.shape().numel() + out.shape().numel()), out.data_mut()?, |exec, out| {
                kernels::upsample_nearest(exec, x.data(), shape, fh, fw, out)
            })
        }
        Device::Vulkan(vulkan) => {
            // Lines of all frames follow each other, and each is by itself.
            let (from, to) = (w * c, fh * fw * w * c);
            for lines in vulkan.parts(t * h, to) {
                let count = lines.len() * to;
                let run = Dispatch::new(&vulkan::UPSAMPLE, &mut out).within(lines.start * to..lines.end * to);
                let run = run.read_rows(x, &(lines.start * w..lines.end * w)).sizes(&[count, w, c, fh, fw]);
                let run = run.size_constant(LOCAL_SIZE, LOCAL).groups(groups_of(count));
                run.run(vulkan, Work::moved(lines.len() * from + count))?;
            }
        }
    }
    finished(out)
}
