use zoetrope_kernels::{self as kernels, Onto};

use super::{check, check_place, cut, finished, four, weight_constant};
use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::tuning::Class;
use crate::vulkan::{self, Dispatch, Vulkan};
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
    check_place(&x, h)?;
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
        Device::Vulkan(vulkan) => {
            out.unshare()?;
            run(vulkan, onto, shape, x, tail, w, bias, &mut out)?;
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
        check_place(x, bias)?;
    }
    let tail_frames = match tail {
        Some(tail) => {
            let [tail_frames, rest @ ..] = four(op, tail, "the tail is [T, H, W, C]")?;
            check(rest == [height, width, in_channels], op, x.shape(), tail.shape(), "the tail has x's frames")?;
            check_place(x, tail)?;
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

/// Has the shader run.
fn run(
    vulkan: &Vulkan,
    onto: Onto,
    shape: &kernels::Conv3d,
    x: &Tensor,
    tail: Option<&Tensor>,
    w: &Weight,
    bias: Option<&Tensor>,
    out: &mut Tensor,
) -> Result<()> {
    let &kernels::Conv3d { frames, height, width, in_channels: c, out_channels: n, .. } = shape;
    let taps: usize = shape.kernel.iter().product();
    let starts = [x.on(vulkan)?.1, tail.map_or(Ok(0), |tail| tail.on(vulkan).map(|(_, start)| start))?];
    let aligned = c.is_multiple_of(4) && starts.iter().all(|start| start.is_multiple_of(4));
    // Of a kernel of one tap the channels lie side by side.
    let (tap_stride, packed) = if taps == 1 { (c, c.is_multiple_of(4)) } else { (1, false) };
    let output = shape.output();
    let run = Dispatch::new(&vulkan::CONV3D, out).read(x).maybe(tail).weight(w).maybe(bias);
    let run = run.sizes(&[frames, height, width, c, n]).sizes(&output).sizes(&shape.kernel).sizes(&shape.stride);
    let run = run.sizes(&[shape.tail_frames, shape.pad_front, shape.pad[0], shape.pad[2], taps, tap_stride]);
    let pixels: usize = output.iter().product();
    let run = cut(vulkan, Class::conv3d(pixels, n), run, pixels, n)
        .constant(5, weight_constant(w.dtype()))
        .constant(6, aligned.into());
    let run = run.constant(7, bias.is_some().into()).constant(8, packed.into());
    let halves = |tensor: &Tensor| u32::from(tensor.dtype() == DType::F16);
    let run = run.constant(9, (onto == Onto::Output).into());
    let run = run.constant(10, halves(x)).constant(11, tail.map_or(0, halves));
    let run = if onto == Onto::Output { run.in_place() } else { run };
    vulkan.run(Work::conv3d(shape), run)
}
