use zoetrope_kernels::{self as kernels, Onto};

use super::{check, finished, four};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::weights::Weight;
use crate::work::Work;

/// Stride and zero padding of a [`conv3d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3dParams {
    /// Steps over time, height and width.
    pub stride: [usize; 3],
    /// Zero frames before the first one (before the tail, if there is one).
    pub pad_front: usize,
    /// Zeros at top, bottom, left and right.
    pub pad: [usize; 4],
}

/// A convolution over time, height and width, causal if the padding in time stands in front.
///
/// `x` `[T, H, W, C]`, `tail` `[T', H, W, C]` frames that precede `x` (from an earlier call), `w` `[N, C, kt, kh, kw]` in
/// any storage type, `bias` `N` values, result `[T'', H'', W'', N]`. `kt = 1` is a 2D convolution of every frame.
/// Cross-correlation, as everywhere in this field; accumulates in F32; no patch matrix is formed. 3x3 kernels of many
/// channels go by Winograd's algorithm, with about four times the rounding error, unless the device was opened with
/// [`exact_conv`](crate::DeviceOptions::exact_conv).
///
/// # Errors
/// [`Shape`](crate::Error::Shape) naming the operands that do not fit.
pub fn conv3d(
    x: &Tensor,
    tail: Option<&Tensor>,
    w: &Weight,
    bias: Option<&Tensor>,
    params: Conv3dParams,
) -> Result<Tensor> {
    let shape = fitting("conv3d", x, tail, w, bias, params)?;
    let [t, h, width] = shape.output();
    let out = Tensor::uninit(x.device(), [t, h, width, shape.out_channels])?;
    convolve(out, Onto::Nothing, &shape, x, tail, w, bias)
}

/// `x` plus the convolution of `h`: a [`conv3d`] as a residual branch, in place if `x` is not shared.
///
/// `x` is shaped as `conv3d(h, tail, w, bias, params)` is.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) naming the operands that do not fit.
pub fn conv3d_add(
    x: Tensor,
    h: &Tensor,
    tail: Option<&Tensor>,
    w: &Weight,
    bias: Option<&Tensor>,
    params: Conv3dParams,
) -> Result<Tensor> {
    const OP: &str = "conv3d_add";
    let shape = fitting(OP, h, tail, w, bias, params)?;
    let [frames, height, width] = shape.output();
    let result = [frames, height, width, shape.out_channels];
    check(x.dims() == result, OP, x.shape(), result, "x is shaped as the convolution's result")?;
    convolve(x, Onto::Output, &shape, h, tail, w, bias)
}

fn convolve(
    mut out: Tensor,
    onto: Onto,
    shape: &kernels::Conv3d,
    x: &Tensor,
    tail: Option<&Tensor>,
    w: &Weight,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    match x.device() {
        Device::Cpu(cpu) => {
            let (tail, bias) = (tail.map_or(&[][..], Tensor::data), bias.map(Tensor::data));
            if cpu.winograd() && shape.prefers_winograd() {
                cpu.run(Work::winograd(shape), out.data_mut()?, |exec, out| {
                    kernels::conv3d_winograd(exec, shape, x.data(), tail, w.stored(), bias, onto, out)
                });
            } else {
                cpu.run(Work::conv3d(shape), out.data_mut()?, |exec, out| {
                    kernels::conv3d(exec, shape, x.data(), tail, w.stored(), bias, onto, out)
                });
            }
        }
    }
    finished(out)
}

/// The convolution that operands make, if they fit.
fn fitting(
    op: &'static str,
    x: &Tensor,
    tail: Option<&Tensor>,
    w: &Weight,
    bias: Option<&Tensor>,
    params: Conv3dParams,
) -> Result<kernels::Conv3d> {
    let [frames, height, width, in_channels] = four(op, x, "x is [T, H, W, C]")?;
    let fits = w.shape().rank() == 5 && w.shape().dims()[1] == in_channels && w.shape().numel() > 0;
    check(fits, op, x.shape(), w.shape(), "x is [T, H, W, C] and the weight [N, C, kt, kh, kw]")?;
    let [out_channels, _, kt, kh, kw] = w.shape().dims().try_into().expect("rank 5 was checked");
    if let Some(bias) = bias {
        let fits = bias.shape().numel() == out_channels;
        check(fits, op, w.shape(), bias.shape(), "one bias for each output channel")?;
    }
    let tail_frames = match tail {
        Some(tail) => {
            let [tail_frames, rest @ ..] = four(op, tail, "the tail is [T, H, W, C]")?;
            check(rest == [height, width, in_channels], op, x.shape(), tail.shape(), "the tail has x's frames")?;
            tail_frames
        }
        None => 0,
    };
    let Conv3dParams { stride, pad_front, pad } = params;
    let padded = [
        frames.saturating_add(tail_frames).saturating_add(pad_front),
        height.saturating_add(pad[0]).saturating_add(pad[1]),
        width.saturating_add(pad[2]).saturating_add(pad[3]),
    ];
    let reaches = padded[0] >= kt && padded[1] >= kh && padded[2] >= kw && !stride.contains(&0);
    let reaches = reaches && !padded.contains(&usize::MAX);
    check(reaches, op, padded.into(), w.shape(), "the padded input holds the kernel and strides are not zero")?;
    Ok(kernels::Conv3d {
        frames,
        height,
        width,
        in_channels,
        out_channels,
        kernel: [kt, kh, kw],
        stride,
        tail_frames,
        pad_front,
        pad,
    })
}
