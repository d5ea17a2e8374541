//! Convolution with 3 x 3 kernels in space by Winograd's algorithm F(4x4, 3x3): a quarter of the multiplications.
//!
//! A tile of 4 x 4 pixels of the output comes of 6 x 6 of the input. Both it and the kernel are transformed to 36 numbers
//! per channel, which are multiplied pair by pair and summed over the channels and the taps in time (36 matrix products),
//! and the sums transformed back (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308).
//! A frame is transformed once for all the frames of the output that see it.
//!
//! The points of the polynomials are 0, +-sqrt(1/2), +-sqrt(2) and infinity: half the error of the usual 0, +-1, +-2.
//! With 96 channels and normal numbers the result is off by 1.5e-6 of its size in the root of the mean square, where the
//! direct sum is off by 4e-7.

use rayon::prelude::*;

use super::{Conv3d, Onto, checked};
use crate::arch::blocks::{Block, Blocks};
use crate::gemm::narrow;
use crate::gemm::tile::{NR, Part, Then, Tile};
use crate::simd::{Kernel, LANES, MOST_VECTORS, Simd};
use crate::stored::for_storage;
use crate::{Exec, Stored, scratch};
use transform::{Finish, transform_frame, transform_weight};

mod transform;

/// Numbers that a tile becomes.
const POINTS: usize = 36;
/// Pixels of a tile's side, in the output and in the input.
const SIDE: usize = 4;
const SEEN: usize = 6;
/// Numbers of a kernel's side.
const SIDE_OF_KERNEL: usize = 3;
/// Taps in time, at most.
const MOST_TAPS: usize = 4;
/// Numbers of the transformed weight that exist at a time, about: 10 MiB.
const WEIGHT: usize = 5 << 19;
/// Tiles that are worked out together, at least: enough for the weight's transform and its way from memory to pay.
const TILES: usize = 64;
/// Numbers that those tiles have under one point where there are more: 144 KiB.
const TOGETHER: usize = 36 * 1024;
/// Frames of the output that are worked out together, at most.
const FRAMES: usize = 4;
/// Columns of the output per task, a multiple of every tile's.
const COLUMNS: usize = 3 * NR;

impl Conv3d {
    /// Whether [`conv3d_winograd`] takes this convolution: 3 x 3 in space, up to four taps in time,
    /// steps of one.
    pub fn has_winograd(&self) -> bool {
        self.kernel[1..] == [3, 3] && self.kernel[0] <= MOST_TAPS && self.stride == [1; 3] && self.in_channels > 0
    }

    /// Whether [`conv3d_winograd`] is the faster way: nearly always, but to very few channels from many, which have a kernel
    /// of their own.
    pub fn prefers_winograd(&self) -> bool {
        let [_, height, width] = self.output();
        let (pixels, few) = (height * width, self.out_channels <= narrow::COLUMNS);
        self.has_winograd() && self.in_channels >= 4 && (!few || self.in_channels <= 32) && pixels >= 64
    }

    /// Bytes of working memory that [`conv3d_winograd`] keeps on each thread, and on the calling one besides, at most.
    pub fn winograd_scratch(&self) -> [usize; 2] {
        if self.output().contains(&0) || self.out_channels == 0 {
            return [0; 2];
        }
        let each = LANES * self.kernel[0] * SIDE_OF_KERNEL * SIDE_OF_KERNEL * MOST_VECTORS * LANES;
        [scratch::bytes(each), scratch::bytes(Sizes::new(self).numbers().iter().sum())]
    }
}

/// What is worked on at a time: it depends on the shape alone.
#[derive(Clone, Copy)]
struct Sizes {
    /// Channels of the input, in whole vectors.
    channels: usize,
    /// Terms of a sum: channels and taps in time.
    terms: usize,
    /// Columns of the output of which the transformed weight exists at a time.
    group: usize,
    /// Rows of tiles, of all and of a strip that is worked out together.
    down: usize,
    strip: usize,
    /// Tiles of a row of tiles.
    across: usize,
    /// Frames of the output that are worked out together.
    chunk: usize,
    /// Transformed frames that exist at a time.
    slots: usize,
}

impl Sizes {
    fn new(s: &Conv3d) -> Self {
        let [frames, height, width] = s.output();
        let channels = s.in_channels.next_multiple_of(LANES);
        let terms = s.kernel[0] * channels;
        let all = s.out_channels.next_multiple_of(NR);
        let most = (WEIGHT / (POINTS * terms) / NR * NR).clamp(NR, all);
        let group = all.div_ceil(all.div_ceil(most)).next_multiple_of(NR);
        let (down, across) = (height.div_ceil(SIDE), width.div_ceil(SIDE));
        let strip = ((TOGETHER / terms).max(TILES) / across).clamp(1, down);
        let strip = down.div_ceil(down.div_ceil(strip));
        let chunk = frames.min(FRAMES);
        Self { channels, terms, group, down, strip, across, chunk, slots: s.kernel[0] - 1 + chunk }
    }

    /// Numbers that a transformed frame of a strip has.
    fn seen(&self) -> usize {
        POINTS * self.strip * self.across * self.channels
    }

    /// Numbers of transformed weight, of transformed frames and of two frames' sums.
    fn numbers(&self) -> [usize; 3] {
        let sums = POINTS * self.strip * self.across * self.group;
        [POINTS * self.terms * self.group, self.slots * self.seen(), 2 * sums]
    }
}

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

/// What is worked out once per call.
#[derive(Clone, Copy)]
struct Plan {
    /// Rows and columns of a register tile, the level's or a narrower one.
    tile: [usize; 2],
    /// Channels of the input, in whole vectors.
    channels: usize,
    /// Terms of a sum: channels and taps in time.
    terms: usize,
    /// Tiles of a row of tiles.
    across: usize,
    /// Rows and pixels of a row of the output.
    size: [usize; 2],
}

impl Plan {
    /// Tiles of a left panel where there are `tiles`: equal parts, not full ones and a rest.
    fn height(&self, tiles: usize) -> usize {
        tiles.div_ceil(tiles.div_ceil(self.tile[0]))
    }
}

/// Rows and columns of the level's register tile; it is narrower where a quarter of it or more would be for nothing.
struct TileSize {
    columns: usize,
}

impl Kernel for TileSize {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> [usize; 2] {
        let [wide, narrow] = [S::TILE[1] * LANES, LANES].map(|tile| self.columns.next_multiple_of(tile));
        let columns = if 4 * wide > 5 * narrow { LANES } else { S::TILE[1] * LANES };
        [S::TILE[0], columns]
    }
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
