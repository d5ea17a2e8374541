use std::ops::Range;

use zoetrope_kernels::{self as kernels, Onto};

use super::checks::{check, check_place, finished, four};
use super::dispatch::{Bound, Dispatch};
use crate::device::Device;
use crate::device::tuning::Class;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::constants::conv3d as constants;
use crate::vulkan::{self, Vulkan};
use crate::weights::Weight;

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

/// Dispatches the shader: at once, or frame by frame and tap by tap where an operand does not fit one binding.
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
    let all = 0..out.shape().numel();
    let bytes = |tensor: &Tensor| tensor.shape().numel() * tensor.dtype().size();
    if [x, out].into_iter().chain(tail).all(|tensor| vulkan.fits_binding(bytes(tensor))) {
        let run = Run { shape, x: (x, 0..x.shape().numel()), tail, w, tap: 0, bias, onto };
        return run.on(vulkan, out, all);
    }
    let &kernels::Conv3d { height, width, in_channels: c, out_channels: n, kernel: [kt, kh, kw], .. } = shape;
    let ([step, down, _], [top, ..]) = (shape.stride, shape.pad);
    let [frames, out_height, out_width] = shape.output();
    let (line, out_line) = (width * c, out_width * n);
    // Rows of the result whose input fits one binding, as they are themselves.
    let rows = vulkan.parts(out_height, (down * line).max(out_line)).first().map_or(1, Range::len);
    let rows = rows.saturating_sub(kh.div_ceil(down)).max(1);
    for (frame, row) in (0..frames).flat_map(|frame| (0..out_height).step_by(rows).map(move |row| (frame, row))) {
        let own = row..out_height.min(row + rows);
        // What they see, of which parts may lie outside.
        let line_of = |row: usize| row.saturating_sub(top).min(height);
        let seen = line_of(own.start * down)..line_of((own.end - 1) * down + kh);
        let written = (frame * out_height + own.start) * out_line..(frame * out_height + own.end) * out_line;
        let needed = (own.len() - 1) * down + kh;
        let above = top.saturating_sub(own.start * down).min(needed);
        let (mut onto, mut bias) = (onto, bias);
        let mut sources = (0..kt).filter_map(|tap| {
            let from = (frame * step + tap).checked_sub(shape.pad_front)?;
            let (tensor, from) = match (from.checked_sub(shape.tail_frames), tail) {
                (Some(from), _) => (x, from),
                (None, tail) => (tail?, from),
            };
            Some((tap, tensor, (from * height + seen.start) * line..(from * height + seen.end) * line))
        });
        let mut next = sources.next().or(Some((0, x, 0..0)));
        while let Some((tap, tensor, elements)) = next {
            // None where there are only frames of zeros: the bias is all.
            let height = elements.len() / line.max(1);
            let part = kernels::Conv3d {
                frames: 1,
                height,
                kernel: [1, kh, kw],
                stride: [1, down, shape.stride[2]],
                tail_frames: 0,
                pad_front: 0,
                pad: [above, needed - above - height, shape.pad[2], shape.pad[3]],
                ..*shape
            };
            let run = Run { shape: &part, x: (tensor, elements), tail: None, w, tap: tap * kh * kw, bias, onto };
            run.on(vulkan, out, written.clone())?;
            (onto, bias, next) = (Onto::Output, None, sources.next());
        }
    }
    Ok(())
}

/// One dispatch of the shader.
struct Run<'a> {
    shape: &'a kernels::Conv3d,
    x: (&'a Tensor, Range<usize>),
    tail: Option<&'a Tensor>,
    w: &'a Weight,
    /// The tap of the weight that is the kernel's first.
    tap: usize,
    bias: Option<&'a Tensor>,
    onto: Onto,
}

impl Run<'_> {
    fn on(self, vulkan: &Vulkan, out: &mut Tensor, written: Range<usize>) -> Result<()> {
        let output = self.shape.output();
        let Self { shape, x, tail, w, tap, bias, onto } = self;
        let &kernels::Conv3d { frames, height, width, in_channels: c, out_channels: n, .. } = shape;
        let start = |tensor: &Tensor| tensor.on(vulkan).map(|(_, start)| start);
        let starts = [start(x.0)? + x.1.start, tail.map_or(Ok(0), start)?];
        let aligned = c.is_multiple_of(4) && starts.iter().all(|start| start.is_multiple_of(4));
        // Of a kernel of one tap the channels lie side by side in every layout.
        let taps: usize = w.shape().dims()[2..].iter().product();
        let layout = vulkan.layout(w);
        let [row, channel_stride, tap_stride] =
            if layout.cooperative || taps == 1 { [c * taps, 1, c] } else { [c * taps, taps, 1] };
        let packed = channel_stride == 1 && c.is_multiple_of(4);
        let operands = [Some(x.0), tail];
        let [x_f16, tail_f16] = operands.map(|tensor| tensor.is_some_and(Tensor::is_f16));
        let eights = c.is_multiple_of(8) && starts.iter().all(|start| start.is_multiple_of(8));
        let fits = layout.cooperative && eights && x_f16 && tail_f16 == tail.is_some();
        let matrix = vulkan.cooperative().filter(|_| fits);
        let shader = if matrix.is_some() { &vulkan::CONV3D_COOPERATIVE } else { &vulkan::CONV3D };
        let run = Dispatch::new(shader, out).within(written).bind(Bound::Tensor(x.0, x.1)).maybe(tail);
        let run = run.weight(w, layout, tap * tap_stride..w.shape().numel()).maybe(bias);
        let run = run.sizes(&[frames, height, width, c, n]).sizes(&output).sizes(&shape.kernel).sizes(&shape.stride);
        let run = run.sizes(&[shape.tail_frames, shape.pad_front, shape.pad[0], shape.pad[2]]);
        let run = run.sizes(&[row, channel_stride, tap_stride]);
        let pixels: usize = output.iter().product();
        let run = match matrix {
            Some(matrix) => run.tiled(vulkan, Class::conv3d_cooperative(n), pixels, n).cooperative(matrix),
            None => run.tiled(vulkan, Class::conv3d(pixels, n), pixels, n),
        };
        let run =
            run.constant(constants::WEIGHT, layout.storage.shader_constant()).constant(constants::ALIGNED, aligned);
        let run = run.constant(constants::BIAS, bias.is_some()).constant(constants::PACKED, packed);
        let run = run.constant(constants::RESIDUAL, onto == Onto::Output);
        let run = run.constant(constants::X_HALVES, x_f16).constant(constants::TAIL_HALVES, tail_f16);
        let run = if onto == Onto::Output { run.in_place() } else { run };
        run.run(vulkan, Work::conv3d(shape))
    }
}
