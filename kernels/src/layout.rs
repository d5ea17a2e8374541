//! Ops that move numbers and change none. They wait for memory, so every instruction set is as good.

use crate::Exec;
use crate::arch::blocks::Blocks;
use crate::tasks::{TASK, pieces, rows_of_a_task};

/// Copies x to out, of the same length.
pub fn copy(exec: Exec, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "a copy");
    pieces(exec, out, TASK, |at, out| out.copy_from_slice(&x[at..][..out.len()]));
}

/// Repeats every pixel of x `[T, H, W, C]` = `shape` `fh` times down and `fw` times across: out `[T, H * fh, W * fw, C]`.
pub fn upsample_nearest(exec: Exec, x: &[f32], shape: [usize; 4], fh: usize, fw: usize, out: &mut [f32]) {
    let [t, h, w, c] = shape;
    assert!(x.len() == t * h * w * c && out.len() == x.len() * fh * fw, "{shape:?} by {fh} and {fw}");
    let (from, to) = (w * c, fh * fw * w * c);
    if to == 0 {
        return;
    }
    pieces(exec, out, rows_of_a_task(to), |at, out| {
        for (r, lines) in out.chunks_exact_mut(to).enumerate() {
            let source = &x[(at / to + r) * from..][..from];
            let (first, copies) = lines.split_at_mut(fw * from);
            for (pixel, repeated) in source.chunks_exact(c).zip(first.chunks_exact_mut(fw * c)) {
                repeated.chunks_exact_mut(c).for_each(|one| one.copy_from_slice(pixel));
            }
            copies.chunks_exact_mut(first.len()).for_each(|line| line.copy_from_slice(first));
        }
    });
}

/// x `[T, H, W, 2C]` = `shape` to out `[2T, H, W, C]`: frame 2t + j takes channels j * C .. (j + 1) * C of frame t.
pub fn interleave_frames(exec: Exec, x: &[f32], shape: [usize; 4], out: &mut [f32]) {
    let [t, h, w, c2] = shape;
    assert!(c2.is_multiple_of(2) && x.len() == t * h * w * c2 && out.len() == x.len(), "{shape:?}");
    let (c, pixels) = (c2 / 2, h * w);
    if x.is_empty() {
        return;
    }
    pieces(exec, out, rows_of_a_task(c), |at, out| {
        for (p, pixel) in out.chunks_exact_mut(c).enumerate() {
            let (frame, place) = ((at / c + p) / pixels, (at / c + p) % pixels);
            pixel.copy_from_slice(&x[(frame / 2 * pixels + place) * c2 + frame % 2 * c..][..c]);
        }
    });
}

/// How `[C, T, H, W]` is cut into tokens.
struct Patches {
    shape: [usize; 4],
    patch: [usize; 3],
    /// Tokens of a line and of a column.
    across: usize,
    down: usize,
}

impl Patches {
    fn new(shape: [usize; 4], patch: [usize; 3]) -> Self {
        let ([_, t, h, w], [pt, ph, pw]) = (shape, patch);
        let whole = |n: usize, p: usize| p > 0 && n.is_multiple_of(p);
        assert!(whole(t, pt) && whole(h, ph) && whole(w, pw), "{shape:?} in patches of {patch:?}");
        Self { shape, patch, across: w / pw, down: h / ph }
    }

    fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Numbers of one token.
    fn features(&self) -> usize {
        self.shape[0] * self.patch.iter().product::<usize>()
    }
}

/// x `[C, T, H, W]` = `shape` to out `[tokens, C * pt * ph * pw]`.
///
/// Tokens are in (t, h, w) order, their features in (c, pt, ph, pw) order: that of a PyTorch Conv3d weight, so a patch
/// embedding is a linear layer.
pub fn patchify(exec: Exec, x: &[f32], shape: [usize; 4], patch: [usize; 3], out: &mut [f32]) {
    let cut = Patches::new(shape, patch);
    assert!(x.len() == cut.numel() && out.len() == x.len(), "{shape:?}");
    let ([_, t, h, w], [pt, ph, pw], features) = (shape, patch, cut.features());
    if x.is_empty() {
        return;
    }
    pieces(exec, out, rows_of_a_task(features), |at, out| {
        for (r, token) in out.chunks_exact_mut(features).enumerate() {
            let r = at / features + r;
            let (i, j, k) = (r / (cut.down * cut.across), r / cut.across % cut.down, r % cut.across);
            // Features are lines of pw numbers, counted by (c, pt, ph).
            for (n, line) in token.chunks_exact_mut(pw).enumerate() {
                let (channel, a, b) = (n / (pt * ph), n / ph % pt, n % ph);
                let from = ((channel * t + i * pt + a) * h + j * ph + b) * w + k * pw;
                line.copy_from_slice(&x[from..from + pw]);
            }
        }
    });
}

/// x `[tokens, pt * ph * pw * C]`, tokens in (t, h, w) order and features in (pt, ph, pw, c) order, to out
/// `[C, T, H, W]` = `shape`.
pub fn unpatchify(exec: Exec, x: &[f32], shape: [usize; 4], patch: [usize; 3], out: &mut [f32]) {
    let cut = Patches::new(shape, patch);
    assert!(x.len() == cut.numel() && out.len() == x.len(), "{shape:?}");
    let ([c, t, h, w], [pt, ph, pw], features) = (shape, patch, cut.features());
    if x.is_empty() {
        return;
    }
    pieces(exec, out, rows_of_a_task(w), |at, out| {
        for (r, line) in out.chunks_exact_mut(w).enumerate() {
            let r = at / w + r;
            let (channel, frame, y) = (r / (t * h), r / h % t, r % h);
            let first = (frame / pt * cut.down + y / ph) * cut.across;
            let feature = (frame % pt * ph + y % ph) * pw * c + channel;
            for (k, pixels) in line.chunks_exact_mut(pw).enumerate() {
                let token = &x[(first + k) * features..][..features];
                for (d, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = token[feature + d * c];
                }
            }
        }
    });
}

/// x `[C, N]` to out `[N, C]`: with N = T * H * W, `[C, T, H, W]` to `[T, H, W, C]`.
pub fn channels_last(exec: Exec, x: &[f32], channels: usize, out: &mut [f32]) {
    let pixels = pixels_of(x, channels, out);
    pieces(exec, out, rows_of_a_task(channels), |at, out| {
        let (first, count) = (at / channels, out.len() / channels);
        for channel in 0..channels {
            let line = &x[channel * pixels + first..][..count];
            for (pixel, &value) in out.chunks_exact_mut(channels).zip(line) {
                pixel[channel] = value;
            }
        }
    });
}

/// x `[N, C]` to out `[C, N]`: with N = T * H * W, `[T, H, W, C]` to `[C, T, H, W]`.
pub fn channels_first(exec: Exec, x: &[f32], channels: usize, out: &mut [f32]) {
    let pixels = pixels_of(x, channels, out);
    // All channels of some pixels: their lines of x are read once.
    let block = [channels, (TASK / channels).max(1)];
    Blocks::new(out, channels, pixels, pixels, block).for_each(|mut block| {
        if exec.stopped() {
            return;
        }
        let columns = block.columns;
        let x = &x[block.column * channels..][..columns * channels];
        for channel in 0..block.rows {
            let line = block.row(channel, 0..columns);
            for (value, pixel) in line.iter_mut().zip(x.chunks_exact(channels)) {
                *value = pixel[channel];
            }
        }
    });
}

fn pixels_of(x: &[f32], channels: usize, out: &[f32]) -> usize {
    assert!(channels > 0 && x.len().is_multiple_of(channels), "{} numbers in {channels} channels", x.len());
    assert_eq!(x.len(), out.len(), "the same numbers elsewhere");
    x.len() / channels
}
