//! Ops: one file each, with the shape check and an arm per device.
//!
//! Layout is channels-last: tokens are `[L, D]`, video is `[T, H, W, C]`. Ops that take their first tensor by value
//! write in place when nobody else holds its buffer. An op runs where its first tensor lives.
//!
//! Besides the errors that each op names, all give [`Error::Cancelled`] once their device was asked to stop and
//! [`Error::OutOfMemory`] where their result, or the copy of a shared tensor, does not fit the device's budget.
//!
#![doc = include_str!("table.md")]

mod activation;
mod arithmetic;
mod attention;
mod concat;
mod conv3d;
mod embedding;
mod frames;
mod layout;
mod linear;
mod modulate;
mod norm;
mod patch;
mod probe;
mod rope;
mod trial;
mod upsample;

pub use crate::tensor::OutputType;
pub use activation::activate;
pub use arithmetic::{add, affine, clamp, mul};
pub use attention::{AttentionBias, KeyValue, attention};
pub use concat::concat;
pub use conv3d::{Conv3dParams, conv3d, conv3d_add};
pub use embedding::embedding;
pub use frames::{interleave_frames, last_frames};
pub use layout::{channels_first, channels_last, repeat_rows};
pub use linear::{linear, linear_add};
pub use modulate::{gated_add, modulate};
pub use norm::{channel_norm, layer_norm, rms_norm, rms_norm_rope};
pub use patch::{patchify, unpatchify};
pub use rope::rope;
pub use upsample::upsample_nearest;
pub use zoetrope_kernels::Activation;

pub use probe::Arithmetic;
pub(crate) use probe::multiply_add;
pub(crate) use trial::units_are_right;

use crate::device::tuning::{Class, Cut, UNIT_TERMS};
use crate::error::{DeviceFault, Error, Result};
use crate::tensor::Shape;
use crate::tensor::Tensor;
use crate::vulkan::{Dispatch, Units, Vulkan};

/// An [`Error::Shape`] unless `fits`.
fn check(fits: bool, op: &'static str, left: Shape, right: impl Into<Shape>, why: &'static str) -> Result<()> {
    if fits { Ok(()) } else { Err(Error::Shape { op, left, right: right.into(), why }) }
}

/// Checks that `vector` has one value for each position of `x`'s last axis.
fn check_row_vector(op: &'static str, x: &Tensor, vector: &Tensor) -> Result<()> {
    let width = x.shape().last();
    let fits = x.shape().rank() >= 1 && width > 0 && vector.shape().numel() == width;
    check(fits, op, x.shape(), vector.shape(), "one value for each position of a last axis that is not empty")?;
    check_place(x, vector)
}

/// Checks that two operands live where one op can read both.
fn check_place(x: &Tensor, y: &Tensor) -> Result<()> {
    if x.device().same_place(y.device()) {
        return Ok(());
    }
    let why = format!("{:?} and {:?}; copy one to the other's device", x.device(), y.device());
    Err(Error::Device { fault: DeviceFault::Elsewhere, why })
}

/// Invocations of a workgroup of the shaders that go from number to number.
const LOCAL: usize = 128;

/// Workgroups for so many numbers, of which each invocation takes four.
fn groups_of(numbers: usize) -> usize {
    numbers.div_ceil(4 * LOCAL)
}

/// Has a product of so many rows and columns cut as the device does best.
fn cut<'a>(vulkan: &Vulkan, class: Class, run: Dispatch<'a>, rows: usize, columns: usize) -> Dispatch<'a> {
    let cut = vulkan.cut(class, 0);
    let Cut { group, own } = cut;
    let local = class.parts(cut) as u32
        * if class.is_for_units() { vulkan.units().map_or(1, |units| units.subgroup) } else { 1 };
    let run = run.constant(0, local).constant(1, group[0] as u32).constant(2, group[1] as u32);
    let run = run.constant(3, own[0] as u32).constant(4, own[1] as u32);
    run.groups(rows.div_ceil(group[0]) * columns.div_ceil(group[1]))
}

/// Tells a shader of the units that it uses.
fn with_units(units: Units, run: Dispatch) -> Dispatch {
    let run = (20..).zip(units.shape).fold(run, |run, (id, side)| run.constant(id, side));
    run.constant(23, UNIT_TERMS as u32)
}

/// An op's result, unless somebody asked to stop: then the kernel returned early and not all of it is written.
fn finished(out: Tensor) -> Result<Tensor> {
    out.device().check()?;
    Ok(out)
}

/// The axes of a rank-4 tensor.
fn four(op: &'static str, x: &Tensor, why: &'static str) -> Result<[usize; 4]> {
    x.dims().try_into().map_err(|_| Error::Shape { op, left: x.shape(), right: x.shape(), why })
}
