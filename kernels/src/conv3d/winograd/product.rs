//! The convolution as a whole, and the matrix products between the transforms.

use rayon::prelude::*;

use super::plan::{COLUMNS, FRAMES, MOST_TAPS, POINTS, Plan, Sizes, TileSize};
use super::transform::{Finish, transform_frame, transform_weight};
use crate::arch::blocks::{Block, Blocks};
use crate::conv3d::shape::{Conv3d, Onto, checked};
use crate::gemm::tile::{Part, Then, Tile};
use crate::simd::{Kernel, LANES, Simd};
use crate::stored::for_storage;
use crate::{Exec, Stored, scratch};

/// [`crate::conv3d`] by Winograd's algorithm, four times fewer multiplications for about four times the rounding error.
///
/// One level gives the same bits on any number of threads. What is not finite spreads over the 4 x 4 pixels that are
/// worked out together.
///
/// # Panics
///
/// If a slice is not as long as the shape says, or [`Conv3d::has_winograd`] does not hold.
pub fn conv3d_winograd(
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
    assert!(s.has_winograd(), "conv3d: no Winograd of {s:?}");
    if out.is_empty() {
        return;
    }
    let tile = exec.run(TileSize { columns: s.out_channels });
    let sizes = Sizes::new(s);
    let Sizes { channels, terms, group, down, strip, across, chunk, slots } = sizes;
    let plan = Plan { tile, channels, terms, across, size: [height, width] };
    let (seen, numbers) = (sizes.seen(), sizes.numbers());
    let pixels = height * width * s.out_channels;
    scratch::shared(numbers.iter().sum(), |memory| {
        let (weight, memory) = memory.split_at_mut(numbers[0]);
        let (frames_seen, sums) = memory.split_at_mut(numbers[1]);
        let (mut sums, mut sums_before) = sums.split_at_mut(sums.len() / 2);
        // The strip and the frame that each slot holds, and the first of the columns whose weight there is.
        let mut holds = [None; MOST_TAPS - 1 + FRAMES];
        let mut weight_of = None;
        // What is still to become of the sums before: it is done beside the next products, so that nobody waits.
        let mut before = None;
        let mut finish = |before: Option<(Finish, usize)>, sums: &[f32]| {
            if let Some((finish, frame)) = before {
                finish.run(exec, sums, &mut out[frame * pixels..][..pixels]);
            }
        };
        let strips = (0..down).step_by(strip).map(|row| row..down.min(row + strip));
        for (strip, frame) in strips.flat_map(|strip| (0..frames).step_by(chunk).map(move |f| (strip.clone(), f))) {
            let chunk = frame..frames.min(frame + chunk);
            let mut wanted = [None; MOST_TAPS - 1 + FRAMES];
            for from in (chunk.start..chunk.end + s.kernel[0] - 1).filter_map(|f| f.checked_sub(s.pad_front)) {
                let slot = (from + s.pad_front) % slots;
                if holds[slot].replace((strip.start, from)) != Some((strip.start, from)) {
                    wanted[slot] = Some(match from.checked_sub(s.tail_frames) {
                        Some(frame) => frame_of(s, x, frame),
                        None => frame_of(s, tail, from),
                    });
                }
            }
            frames_seen.par_chunks_mut(seen).zip(&wanted[..slots]).with_max_len(1).for_each(|(slot, pixels)| {
                if let Some(pixels) = pixels {
                    transform_frame(exec, s, plan, pixels, strip.clone(), slot);
                }
            });
            for first in (0..s.out_channels).step_by(group) {
                let columns = first..s.out_channels.min(first + group);
                if weight_of.replace(first) != Some(first) {
                    for_storage!(w, |bytes, T| transform_weight::<T>(exec, s, plan, bytes, columns.clone(), weight));
                }
                for frame in chunk.clone() {
                    if exec.stopped() {
                        return;
                    }
                    // Under the first taps there may be frames of zeros.
                    let first_tap = s.pad_front.saturating_sub(frame).min(s.kernel[0]);
                    let taps = (first_tap..s.kernel[0]).map(|tap| &frames_seen[(frame + tap) % slots * seen..][..seen]);
                    let taps: Vec<_> = taps.collect();
                    rayon::join(
                        || multiply(exec, plan, strip.len() * across, taps, weight, columns.len(), sums),
                        || finish(before.take(), sums_before),
                    );
                    let (stride, strip, columns) = (s.out_channels, strip.clone(), columns.clone());
                    before = Some((Finish { plan, stride, bias, onto, strip, columns }, frame));
                    (sums, sums_before) = (sums_before, sums);
                }
            }
        }
        finish(before, sums_before);
    });
}

fn frame_of<'a>(s: &Conv3d, frames: &'a [f32], frame: usize) -> &'a [f32] {
    let numbers = s.height * s.width * s.in_channels;
    &frames[frame * numbers..][..numbers]
}

/// The products of transformed frames and weight, `[point][tile][column]`.
fn multiply(exec: Exec, plan: Plan, tiles: usize, taps: Vec<&[f32]>, weight: &[f32], columns: usize, sums: &mut [f32]) {
    let wide = columns.next_multiple_of(plan.tile[1]);
    Blocks::new(sums, POINTS * tiles, wide, wide, [tiles, COLUMNS]).for_each(|block| {
        if !exec.stopped() {
            exec.run(Product { plan, taps: &taps, weight, block });
        }
    });
}

/// One point's product, for some columns of the output.
struct Product<'a> {
    plan: Plan,
    /// The transformed frames under the taps that count, the last taps.
    taps: &'a [&'a [f32]],
    weight: &'a [f32],
    block: Block<'a>,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { plan, taps, weight, mut block } = self;
        let (tiles, width) = (block.rows, plan.tile[1]);
        let (point, height) = (block.row / tiles, plan.height(tiles));
        for column in (0..block.columns).step_by(width) {
            let panel = (block.column + column) / width * POINTS + point;
            let right = &weight[panel * plan.terms * width..][..plan.terms * width];
            let right = &right[(plan.terms - taps.len() * plan.channels) * width..];
            if taps.is_empty() {
                for row in 0..tiles {
                    block.row(row, column..column + width).fill(0.0);
                }
            }
            // One tap after another: its part of the weight stays in the level-one cache for all tiles.
            for (i, (tap, right)) in taps.iter().zip(right.chunks(plan.channels * width)).enumerate() {
                for row in (0..tiles).step_by(height) {
                    let rows = height.min(tiles - row);
                    let left = &tap[(point * tiles + row) * plan.channels..][..rows * plan.channels];
                    let out = Part { block: &mut block, row, columns: column..column + width };
                    let then = if i == 0 { Then::Set } else { Then::Add };
                    Tile { rows, left, right, bias: None, then, out }.run_of(s, width / LANES);
                }
            }
        }
    }
}
