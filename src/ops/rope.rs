use zoetrope_kernels as kernels;

use super::{LOCAL, check, check_place, finished, groups_of};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::{self, Dispatch};
use crate::work::Work;

/// Rotates interleaved pairs of every head by the angle of its row.
///
/// `x` `[B * L, heads * head_dim]`, `cos` and `sin` `[L, head_dim / 2]`, the same for each of the `B` branches:
/// `(a, b)` at `2i, 2i + 1` becomes `(a cos - b sin, a sin + b cos)`. Su et al., arXiv 2104.09864.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the tables do not fit.
pub fn rope(mut x: Tensor, heads: usize, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    check(cos.shape() == sin.shape(), "rope", cos.shape(), sin.shape(), "tables of one shape")?;
    let half = cos.shape().last();
    let rows = cos.shape().rows();
    let fits = half > 0 && heads.checked_mul(2 * half) == Some(x.shape().last()) && x.shape().last() > 0;
    let fits = fits && rows > 0 && x.shape().rows().is_multiple_of(rows);
    check(fits, "rope", x.shape(), cos.shape(), "tables are [L, head_dim / 2] and x [B * L, heads * head_dim]")?;
    check_place(&x, cos)?;
    check_place(&x, sin)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), x.data_mut()?, |exec, x| {
            kernels::rope(exec, x, heads, 2 * half, cos.data(), sin.data())
        }),
        Device::Vulkan(vulkan) => {
            x.unshare()?;
            // Branch by branch if all rows at one time are too many: the table begins anew with each.
            let width = x.shape().last();
            let all = x.shape().rows();
            let branches = if vulkan.parts(all, width).len() > 1 { vec![rows; all / rows] } else { vec![all] };
            for (i, count) in branches.into_iter().enumerate() {
                let pairs = count * width / 2;
                let run = Dispatch::new(&vulkan::ROPE, &mut x).rows(&(i * count..(i + 1) * count)).read(cos).read(sin);
                let run = run.sizes(&[pairs, width / 2, half, rows]).constant(0, LOCAL as u32);
                vulkan.run(Work::moved(4 * pairs), run.groups(groups_of(pairs)))?;
            }
        }
    }
    finished(x)
}
