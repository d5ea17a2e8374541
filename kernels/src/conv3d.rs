//! Convolution over time, height and width: a matrix product whose left operand is never written out.

use std::ops::Range;

pub use winograd::conv3d_winograd;

use crate::gemm::driver::{self, After, Left, Weights, ZEROS};
use crate::{Activation, Exec, Stored};

mod winograd;

/// The shape of a convolution over channels-last frames.
///
/// In time the input is `pad_front` frames of zeros, then the frames of `tail`, then those of `x`; in height and width
/// `pad` adds zeros around each frame. A kernel of one frame is a two-dimensional convolution of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3d {
    /// Frames of `x`.
    pub frames: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Numbers per pixel of the input.
    pub in_channels: usize,
    /// Numbers per pixel of the output.
    pub out_channels: usize,
    /// The kernel's extent in time, height and width.
    pub kernel: [usize; 3],
    /// The steps in time, height and width.
    pub stride: [usize; 3],
    /// Frames of `tail`, which come before `x` in time.
    pub tail_frames: usize,
    /// Frames of zeros before the tail.
    pub pad_front: usize,
    /// Rows of zeros above and below, pixels of zeros left and right.
    pub pad: [usize; 4],
}

impl Conv3d {
    /// Frames, rows and pixels of a row of the output: none where the kernel is larger than the padded input.
    pub fn output(&self) -> [usize; 3] {
        let [top, bottom, left, right] = self.pad;
        let input =
            [self.pad_front + self.tail_frames + self.frames, top + self.height + bottom, left + self.width + right];
        std::array::from_fn(|i| input[i].checked_sub(self.kernel[i]).map_or(0, |room| room / self.stride[i] + 1))
    }

    /// Bytes of working memory that [`conv3d`] keeps on each thread, at most.
    pub fn scratch(&self) -> usize {
        driver::scratch_bytes(self.output().iter().product(), self.in_channels, self.taps(), self.out_channels)
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// What becomes of a convolution's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// They replace what was there.
    Nothing,
    /// They are added to it: a residual branch.
    Output,
}

/// Convolves (as deep learning means it: the kernel is not turned) and adds the bias.
///
/// `x` is `[frames, height, width, in]`, `tail` `[tail_frames, height, width, in]`, `w` `[out, in, kt, kh, kw]` as PyTorch
/// stores it, `bias` `[out]` and `out` `[frames', height', width', out]` of [`Conv3d::output`]. Taps that fall on frames
/// of zeros are skipped. One level gives the same bits on any number of threads.
///
/// # Panics
///
/// If a slice is not as long as the shape says, or the kernel or a stride has a zero in it.
pub fn conv3d(
    exec: Exec,
    s: &Conv3d,
    x: &[f32],
    tail: &[f32],
    w: Stored,
    bias: Option<&[f32]>,
    onto: Onto,
    out: &mut [f32],
) {
    let [frames, height, width] = checked(s, x, tail, w, bias, out);
    let rows = frames * height * width;
    let then = match onto {
        Onto::Nothing => After::Act(Activation::None),
        Onto::Output => After::Add(None),
    };
    let weights = Weights { w, n: s.out_channels, bias, then };
    driver::product(exec, &Patches::new(s, x, tail), rows, weights, out);
}

/// The output's size, after a look at all slices' lengths.
fn checked(s: &Conv3d, x: &[f32], tail: &[f32], w: Stored, bias: Option<&[f32]>, out: &[f32]) -> [usize; 3] {
    assert!(s.kernel.iter().chain(&s.stride).all(|&n| n > 0), "conv3d: an extent of zero in {s:?}");
    let frame = s.height * s.width * s.in_channels;
    let [frames, height, width] = s.output();
    assert_eq!(x.len(), s.frames * frame, "conv3d: x of {s:?}");
    assert_eq!(tail.len(), s.tail_frames * frame, "conv3d: tail of {s:?}");
    assert_eq!(w.len(), s.out_channels * s.in_channels * s.taps(), "conv3d: w of {s:?}");
    assert!(bias.is_none_or(|b| b.len() == s.out_channels), "conv3d: bias of {s:?}");
    assert_eq!(out.len(), frames * height * width * s.out_channels, "conv3d: out of {s:?}");
    [frames, height, width]
}

/// The matrix that the convolution multiplies with: a row holds what the kernel sees from one place.
struct Patches<'a> {
    shape: Conv3d,
    /// Rows and pixels of a row of the output.
    size: [usize; 2],
    x: &'a [f32],
    tail: &'a [f32],
    /// Where the taps lie from the kernel's first.
    taps: Vec<Place>,
}

/// A pixel, counted from the first frame of zeros and from the unpadded corner; what lies before that wraps below zero.
#[derive(Clone, Copy, Default)]
struct Place {
    frame: usize,
    y: usize,
    x: usize,
    /// Where in `x` it begins, or would begin if all frames were there.
    start: usize,
}

impl<'a> Patches<'a> {
    fn new(shape: &Conv3d, x: &'a [f32], tail: &'a [f32]) -> Self {
        let ([_, height, width], [kt, kh, kw]) = (shape.output(), shape.kernel);
        let places = (0..kt).flat_map(|t| (0..kh).flat_map(move |y| (0..kw).map(move |x| [t, y, x])));
        let taps = places.map(|at| Place::new(shape, at)).collect();
        Self { shape: *shape, size: [height, width], x, tail, taps }
    }
}

impl Place {
    #[inline(always)]
    fn new(s: &Conv3d, [frame, y, x]: [usize; 3]) -> Self {
        let start = frame.wrapping_mul(s.height).wrapping_add(y).wrapping_mul(s.width).wrapping_add(x);
        Self { frame, y, x, start: start.wrapping_mul(s.in_channels) }
    }
}

impl Left for Patches<'_> {
    type Place = Place;

    fn channels(&self) -> usize {
        self.shape.in_channels
    }

    fn taps(&self) -> usize {
        self.taps.len()
    }

    fn touches(&self, rows: Range<usize>, tap: usize) -> bool {
        let last = (rows.end - 1) / (self.size[0] * self.size[1]);
        last * self.shape.stride[0] + self.taps[tap].frame >= self.shape.pad_front
    }

    #[inline(always)]
    fn place(&self, row: usize) -> Place {
        let (s, [height, width]) = (&self.shape, self.size);
        let ([st, sh, sw], [top, _, left, _]) = (s.stride, s.pad);
        let (line, x) = (row / width, row % width);
        let (frame, y) = (line / height, line % height);
        let (y, x) = ((y * sh).wrapping_sub(top), (x * sw).wrapping_sub(left));
        let earlier = s.pad_front + s.tail_frames;
        Place { frame: frame * st, ..Place::new(s, [(frame * st).wrapping_sub(earlier), y, x]) }
    }

    #[inline(always)]
    fn run(&self, place: Place, tap: usize, channels: Range<usize>) -> &[f32] {
        let (s, tap) = (&self.shape, self.taps[tap]);
        let frame = (place.frame + tap.frame).wrapping_sub(s.pad_front);
        let (y, x) = (place.y.wrapping_add(tap.y), place.x.wrapping_add(tap.x));
        if y >= s.height || x >= s.width || frame >= s.tail_frames + s.frames {
            return &ZEROS[..channels.len()];
        }
        let start = place.start.wrapping_add(tap.start).wrapping_add(channels.start);
        if frame < s.tail_frames {
            &self.tail[start.wrapping_add(self.tail.len())..][..channels.len()]
        } else {
            &self.x[start..][..channels.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::testing::{Kept, distance, exec, numbers, same_bits_on_any_number_of_threads};

    fn reference(s: &Conv3d, x: &[f32], tail: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
        let [frames, height, width] = s.output();
        let [kt, kh, kw] = s.kernel;
        let mut out = Vec::new();
        let input = |t: usize, y: usize, x_: usize, c: usize| -> f64 {
            let [top, _, left, _] = s.pad;
            if t < s.pad_front || y < top || y >= top + s.height || x_ < left || x_ >= left + s.width {
                return 0.0;
            }
            let (t, y, x_) = (t - s.pad_front, y - top, x_ - left);
            let at = |t: usize| ((t * s.height + y) * s.width + x_) * s.in_channels + c;
            f64::from(if t < s.tail_frames { tail[at(t)] } else { x[at(t - s.tail_frames)] })
        };
        for t in 0..frames {
            for y in 0..height {
                for x_ in 0..width {
                    for n in 0..s.out_channels {
                        let mut sum = bias.map_or(0.0, |b| f64::from(b[n]));
                        for c in 0..s.in_channels {
                            for (a, b, d) in (0..kt * kh * kw).map(|i| (i / (kh * kw), i / kw % kh, i % kw)) {
                                let weight = w[(((n * s.in_channels + c) * kt + a) * kh + b) * kw + d];
                                let [st, sh, sw] = s.stride;
                                sum += f64::from(weight) * input(t * st + a, y * sh + b, x_ * sw + d, c);
                            }
                        }
                        out.push(sum);
                    }
                }
            }
        }
        out
    }

    fn shape(frames: usize, size: [usize; 2], channels: [usize; 2], kernel: [usize; 3]) -> Conv3d {
        let [height, width] = size;
        let [in_channels, out_channels] = channels;
        let [kt, kh, kw] = kernel;
        Conv3d {
            frames,
            height,
            width,
            in_channels,
            out_channels,
            kernel,
            stride: [1; 3],
            tail_frames: 0,
            pad_front: kt - 1,
            pad: [kh / 2, kh / 2, kw / 2, kw / 2],
        }
    }

    fn shapes() -> Vec<Conv3d> {
        let base = shape(3, [7, 5], [13, 19], [3, 3, 3]);
        vec![
            base,
            Conv3d { tail_frames: 2, pad_front: 0, ..base },
            Conv3d { tail_frames: 1, pad_front: 1, ..base },
            Conv3d { frames: 1, ..base },
            // The decoder's doubling in time, and the encoder's halving in time and in space.
            Conv3d { tail_frames: 2, pad_front: 0, ..shape(2, [4, 3], [40, 33], [3, 1, 1]) },
            Conv3d { stride: [2, 1, 1], tail_frames: 1, pad_front: 0, ..shape(4, [3, 4], [8, 16], [3, 1, 1]) },
            Conv3d { stride: [1, 2, 2], pad: [0, 1, 0, 1], ..shape(2, [8, 7], [24, 10], [1, 3, 3]) },
            // Two dimensions, a patch embedding, a kernel of one tap, many channels, few of them.
            shape(2, [9, 6], [70, 20], [1, 3, 3]),
            Conv3d { stride: [1, 2, 2], pad: [0; 4], ..shape(2, [4, 6], [16, 33], [1, 2, 2]) },
            shape(1, [5, 5], [20, 9], [1, 1, 1]),
            shape(2, [4, 3], [300, 17], [3, 3, 3]),
            shape(1, [6, 40], [3, 7], [3, 3, 3]),
            // To few channels, which is another way.
            shape(2, [20, 30], [30, 3], [3, 3, 3]),
            shape(1, [4, 5], [300, 4], [3, 3, 3]),
            Conv3d { tail_frames: 1, pad_front: 1, ..shape(1, [3, 5], [8, 1], [3, 3, 3]) },
            // A kernel that sees nothing but zeros for the first frames, and one larger than the input.
            Conv3d { pad_front: 5, ..shape(2, [3, 3], [9, 5], [2, 3, 3]) },
            Conv3d { pad_front: 2, ..shape(1, [14, 14], [9, 5], [1, 1, 1]) },
            Conv3d { pad: [0; 4], ..shape(2, [2, 5], [4, 4], [1, 3, 3]) },
            shape(2, [3, 4], [0, 5], [1, 3, 3]),
        ]
    }

    /// What a convolution begins with: numbers to add to, or none that may show.
    fn onto(add: bool, before: &[f32]) -> (Onto, Vec<f32>) {
        if add { (Onto::Output, before.to_vec()) } else { (Onto::Nothing, vec![f32::NAN; before.len()]) }
    }

    fn sum(mut want: Vec<f64>, onto: Onto, before: &[f32]) -> Vec<f64> {
        if onto == Onto::Output {
            want.iter_mut().zip(before).for_each(|(want, &before)| *want += f64::from(before));
        }
        want
    }

    #[test]
    fn conv3d_is_the_f64_loop() {
        for &level in Level::available() {
            for (i, s) in shapes().iter().enumerate() {
                let frame = s.height * s.width * s.in_channels;
                let (x, tail) = (numbers(i as u64, s.frames * frame), numbers(77, s.tail_frames * frame));
                let bias = numbers(5, s.out_channels);
                let before = numbers(6, s.output().iter().product::<usize>() * s.out_channels);
                for (j, w) in Kept::each(9, s.out_channels * s.in_channels * s.taps()).iter().enumerate() {
                    let bias = (j != 2).then_some(&bias[..]);
                    let (onto, mut out) = onto(j == 1, &before);
                    conv3d(exec(level), s, &x, &tail, w.stored(), bias, onto, &mut out);
                    let off = distance(&out, &sum(reference(s, &x, &tail, &w.widened(), bias), onto, &before));
                    assert!(off <= 6e-7, "{level} {s:?}: {off}");
                }
            }
        }
    }

    #[test]
    fn winograd_is_the_f64_loop() {
        let more = [
            shape(1, [4, 4], [16, 32], [3, 3, 3]),
            shape(5, [9, 13], [18, 35], [3, 3, 3]),
            Conv3d { pad: [0, 3, 1, 0], ..shape(2, [6, 38], [32, 34], [2, 3, 3]) },
            Conv3d { tail_frames: 2, pad_front: 0, ..shape(6, [9, 9], [17, 40], [3, 3, 3]) },
            // More columns than are transformed at a time.
            Conv3d { tail_frames: 1, pad_front: 1, ..shape(1, [2, 3], [400, 110], [3, 3, 3]) },
        ];
        let mut looked_at = 0;
        for s in shapes().iter().chain(&more).filter(|s| s.has_winograd()) {
            let frame = s.height * s.width * s.in_channels;
            let (x, tail) = (numbers(1, s.frames * frame), numbers(2, s.tail_frames * frame));
            let bias = numbers(3, s.out_channels);
            let before = numbers(6, s.output().iter().product::<usize>() * s.out_channels);
            for (j, w) in Kept::each(4, s.out_channels * s.in_channels * s.taps()).iter().enumerate() {
                let bias = (j != 2).then_some(&bias[..]);
                let want = sum(reference(s, &x, &tail, &w.widened(), bias), onto(j != 1, &before).0, &before);
                for &level in Level::available() {
                    let (onto, mut out) = onto(j != 1, &before);
                    conv3d_winograd(exec(level), s, &x, &tail, w.stored(), bias, onto, &mut out);
                    let off = distance(&out, &want);
                    // Of 400 channels; 1.5e-6 of 96.
                    assert!(off <= 4e-6, "{level} {s:?}: {off}");
                    looked_at += 1;
                }
            }
        }
        assert!(looked_at >= 3 * 12);
    }

    #[test]
    fn winograd_is_for_some_shapes() {
        let prefers = |size, channels| shape(3, size, channels, [3, 3, 3]).prefers_winograd();
        let base = shape(3, [8, 8], [32, 32], [3, 3, 3]);
        assert!(base.has_winograd() && base.prefers_winograd());
        assert!(prefers([8, 8], [16, 3]) && prefers([8, 8], [4, 16]));
        assert!(!prefers([7, 8], [32, 32]) && !prefers([8, 8], [96, 3]) && !prefers([8, 8], [3, 16]));
        for s in [Conv3d { stride: [1, 2, 2], ..base }, Conv3d { kernel: [3, 1, 1], ..base }] {
            assert!(!s.has_winograd() && !s.prefers_winograd());
        }
    }

    #[test]
    fn a_set_flag_stops_winograd() {
        let stop = std::sync::atomic::AtomicBool::new(true);
        let s = shape(2, [17, 9], [20, 50], [3, 3, 3]);
        let (x, w) = (numbers(1, 2 * 17 * 9 * 20), numbers(2, 50 * 20 * 27));
        for &level in Level::available() {
            let mut out = vec![7.0; 2 * 17 * 9 * 50];
            conv3d_winograd(Exec { level, stop: &stop }, &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, &mut out);
            assert!(out.iter().all(|&x| x == 7.0), "{level}");
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let s = shape(2, [17, 9], [20, 50], [3, 3, 3]);
        let (x, w) = (numbers(1, 2 * 17 * 9 * 20), numbers(2, 50 * 20 * 27));
        for &level in Level::available() {
            same_bits_on_any_number_of_threads(2 * 17 * 9 * 50, |out| {
                conv3d(exec(level), &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, out);
            });
            same_bits_on_any_number_of_threads(2 * 17 * 9 * 50, |out| {
                conv3d_winograd(exec(level), &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, out);
            });
        }
    }

    #[test]
    fn frames_one_at_a_time_are_frames_at_once() {
        let s = shape(4, [5, 6], [11, 18], [3, 3, 3]);
        let frame = 5 * 6 * 11;
        let (x, w) = (numbers(1, 4 * frame), numbers(2, 18 * 11 * 27));
        for &level in Level::available() {
            let mut want = vec![0.0; 4 * 5 * 6 * 18];
            conv3d(exec(level), &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, &mut want);
            for (t, want) in want.chunks(5 * 6 * 18).enumerate() {
                let one = Conv3d { frames: 1, tail_frames: t.min(2), pad_front: 2 - t.min(2), ..s };
                let mut out = vec![0.0; 5 * 6 * 18];
                let tail = &x[(t - t.min(2)) * frame..t * frame];
                conv3d(
                    exec(level),
                    &one,
                    &x[t * frame..][..frame],
                    tail,
                    (&w[..]).into(),
                    None,
                    Onto::Nothing,
                    &mut out,
                );
                let want: Vec<f64> = want.iter().map(|&x| f64::from(x)).collect();
                assert!(distance(&out, &want) <= 6e-7, "{level}: frame {t}");
            }
        }
    }
}
