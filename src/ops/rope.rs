use std::ops::Range;

use zoetrope_kernels as kernels;

use super::checks::{check, check_place, finished};
use super::dispatch::{Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::constants::LOCAL_SIZE;
use crate::vulkan::{self, Vulkan};

/// Rotates interleaved pairs of every head by the angle of its row.
///
/// `x` `[B * L, heads * head_dim]`, `cos` and `sin` `[L, head_dim / 2]`, the same for each of the `B` branches:
/// `(a, b)` at `2i, 2i + 1` becomes `(a cos - b sin, a sin + b cos)`. Su et al., arXiv 2104.09864.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the tables do not fit.
pub fn rope(mut x: Tensor, heads: usize, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let [rows, half] = check_rope("rope", &x, heads, cos, sin)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), x.data_mut()?, |exec, x| {
            kernels::rope(exec, x, heads, 2 * half, cos.data(), sin.data())
        }),
        Device::Vulkan(vulkan) => {
            x.unshare()?;
            let (all, width) = (x.shape().rows(), x.shape().last());
            for own in runs_of(vulkan, all, rows, width) {
                let pairs = own.len() * width / 2;
                let run = Dispatch::new(&vulkan::ROPE, &mut x).in_place().rows(&own).read(cos).read(sin);
                let run = run.sizes(&[pairs, width / 2, half, rows]).size_constant(LOCAL_SIZE, LOCAL);
                run.groups(groups_of(pairs)).run(vulkan, Work::moved(4 * pairs))?;
            }
        }
    }
    finished(x)
}

/// Rows and width of tables that fit.
pub(super) fn check_rope(op: &'static str, x: &Tensor, heads: usize, cos: &Tensor, sin: &Tensor) -> Result<[usize; 2]> {
    check(cos.shape() == sin.shape(), op, cos.shape(), sin.shape(), "tables of one shape")?;
    let (rows, half) = (cos.shape().rows(), cos.shape().last());
    let fits = half > 0 && heads.checked_mul(2 * half) == Some(x.shape().last()) && x.shape().last() > 0;
    let fits = fits && rows > 0 && x.shape().rows().is_multiple_of(rows);
    check(fits, op, x.shape(), cos.shape(), "tables are [L, head_dim / 2] and x [B * L, heads * head_dim]")?;
    check_place(x, cos)?;
    check_place(x, sin)?;
    Ok([rows, half])
}

/// All rows, or branch by branch if they are too many for one run of a shader: the table, of `rows`, begins anew with each.
pub(super) fn runs_of(vulkan: &Vulkan, all: usize, rows: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let each = if vulkan.parts(all, width).len() > 1 { rows } else { all.max(1) };
    (0..all).step_by(each).map(move |first| first..first + each)
}
