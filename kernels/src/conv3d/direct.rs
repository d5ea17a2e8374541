//! Convolution over time, height and width: a matrix product whose left operand is never written out.

use std::ops::Range;

use super::shape::{Conv3d, Onto, checked};
use crate::gemm::driver;
use crate::gemm::operands::{After, Left, Weights, ZEROS};
use crate::{Activation, Exec, Stored};

impl Conv3d {
    /// Bytes of working memory that [`conv3d`] keeps on each thread, at most.
    pub fn scratch(&self) -> usize {
        driver::scratch_bytes(self.output().iter().product(), self.in_channels, self.taps(), self.out_channels)
    }
}

/// Convolves (as deep learning means it: the kernel is not flipped) and adds the bias.
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
