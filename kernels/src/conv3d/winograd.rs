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

use std::marker::PhantomData;
use std::ops::Range;

use super::{Conv3d, checked};
use crate::arch::blocks::{Block, Blocks};
use crate::gemm::pack;
use crate::gemm::tile::{NR, Part, Then, Tile};
use crate::simd::{Kernel, LANES, MOST_VECTORS, Simd};
use crate::stored::{Storage, for_storage};
use crate::{Exec, Stored, scratch};

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

    /// Whether [`conv3d_winograd`] is the faster way: enough channels for its transforms to pay.
    pub fn prefers_winograd(&self) -> bool {
        let [_, height, width] = self.output();
        let pixels = height * width;
        self.has_winograd() && self.in_channels >= 32 && self.out_channels >= 32 && pixels >= 64
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

    /// Numbers of transformed weight, of transformed frames and of sums.
    fn numbers(&self) -> [usize; 3] {
        let sums = POINTS * self.strip * self.across * self.group;
        [POINTS * self.terms * self.group, self.slots * self.seen(), sums]
    }
}

/// [`crate::conv3d`] by Winograd's algorithm, four times fewer multiplications for about four times the rounding error;
/// `residual`, if there is one, is as long as `out` and added to it.
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
    residual: Option<&[f32]>,
    out: &mut [f32],
) {
    let [frames, height, width] = checked(s, x, tail, w, bias, out);
    assert!(s.has_winograd(), "conv3d: no Winograd of {s:?}");
    assert!(residual.is_none_or(|r| r.len() == out.len()), "conv3d: residual of {s:?}");
    if out.is_empty() {
        return;
    }
    let tile = exec.run(TileSize);
    let sizes = Sizes::new(s);
    let Sizes { channels, terms, group, down, strip, across, chunk, slots } = sizes;
    let plan = Plan { tile, channels, terms, across, size: [height, width] };
    let (seen, numbers) = (sizes.seen(), sizes.numbers());
    scratch::shared(numbers.iter().sum(), |memory| {
        let (weight, memory) = memory.split_at_mut(numbers[0]);
        let (frames_seen, sums) = memory.split_at_mut(numbers[1]);
        // The strip and the frame that each slot holds, and the first of the columns whose weight there is.
        let mut holds = [None; MOST_TAPS - 1 + FRAMES];
        let mut weight_of = None;
        let strips = (0..down).step_by(strip).map(|row| row..down.min(row + strip));
        for (strip, frame) in strips.flat_map(|strip| (0..frames).step_by(chunk).map(move |f| (strip.clone(), f))) {
            let chunk = frame..frames.min(frame + chunk);
            for from in (chunk.start..chunk.end + s.kernel[0] - 1).filter_map(|f| f.checked_sub(s.pad_front)) {
                let slot = (from + s.pad_front) % slots;
                if holds[slot].replace((strip.start, from)) != Some((strip.start, from)) {
                    let pixels = match from.checked_sub(s.tail_frames) {
                        Some(frame) => frame_of(s, x, frame),
                        None => frame_of(s, tail, from),
                    };
                    transform_frame(exec, s, plan, pixels, strip.clone(), &mut frames_seen[slot * seen..][..seen]);
                }
            }
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
                    multiply(exec, plan, strip.len() * across, taps.collect(), weight, columns.len(), sums);
                    let pixels = height * width * s.out_channels;
                    let out = &mut out[frame * pixels..][..pixels];
                    let residual = residual.map(|residual| &residual[frame * pixels..][..pixels]);
                    let (stride, strip, columns) = (s.out_channels, strip.clone(), columns.clone());
                    Finish { plan, stride, bias, residual, strip, columns }.run(exec, sums, out);
                }
            }
        }
    });
}

/// What is worked out once per call.
#[derive(Clone, Copy)]
struct Plan {
    /// Rows and columns of a register tile.
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

/// Rows and columns of the level's register tile.
struct TileSize;

impl Kernel for TileSize {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> [usize; 2] {
        [S::TILE[0], S::TILE[1] * LANES]
    }
}

fn frame_of<'a>(s: &Conv3d, frames: &'a [f32], frame: usize) -> &'a [f32] {
    let numbers = s.height * s.width * s.in_channels;
    &frames[frame * numbers..][..numbers]
}

/// Fills `out` with the transformed weight of some columns, `[panel][point][tap][channel][column]`.
fn transform_weight<T: Storage>(
    exec: Exec,
    shape: &Conv3d,
    plan: Plan,
    bytes: &[u8],
    columns: Range<usize>,
    out: &mut [f32],
) {
    let width = plan.tile[1];
    let panels = columns.len().div_ceil(width);
    let rows = POINTS * shape.kernel[0];
    let stride = plan.channels * width;
    let block = [rows, LANES * width];
    Blocks::new(out, panels * rows, stride, stride, block).for_each(|block| {
        if exec.stopped() {
            return;
        }
        let first = columns.start + block.row / rows * width;
        let columns = first..columns.end.clamp(first, first + width);
        let channel = block.column / width;
        let channels = channel..shape.in_channels.min(channel + LANES);
        scratch::with(LANES * shape.kernel[0] * 9 * width, |memory| {
            exec.run(WeightTask::<T> { shape, bytes, columns, channels, memory, block, storage: PhantomData });
        });
    });
}

/// Sixteen channels of a panel of the weight.
struct WeightTask<'a, T> {
    shape: &'a Conv3d,
    bytes: &'a [u8],
    columns: Range<usize>,
    channels: Range<usize>,
    memory: &'a mut [f32],
    block: Block<'a>,
    storage: PhantomData<T>,
}

impl<T: Storage> Kernel for WeightTask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, bytes, columns, channels, memory, mut block, storage: _ } = self;
        let (taps, vectors) = (shape.kernel[0], S::TILE[1]);
        let stride = shape.in_channels * taps * 9 * T::SIZE;
        let terms = channels.len() * taps * 9;
        let from = columns.start * stride + channels.start * taps * 9 * T::SIZE;
        let bytes = bytes.get(from..).unwrap_or_default();
        pack::right::<S, T>(s, bytes, stride, columns.len(), terms, Some, memory);
        memory[terms * vectors * LANES..].fill(0.0);
        let (numbers, _) = memory.as_chunks::<LANES>();
        for (channel, tap) in (0..LANES).flat_map(|c| (0..taps).map(move |t| (c, t))) {
            for vector in 0..vectors {
                let first = (channel * taps + tap) * 9;
                let mut half = [[s.zero(); 3]; SEEN];
                for x in 0..3 {
                    let mut column = [s.zero(); 3];
                    for (y, v) in column.iter_mut().enumerate() {
                        *v = s.load(&numbers[(first + 3 * y + x) * vectors + vector]);
                    }
                    for (half, v) in half.iter_mut().zip(transform_kernel(s, column)) {
                        half[x] = v;
                    }
                }
                for (y, half) in half.into_iter().enumerate() {
                    for (x, v) in transform_kernel(s, half).into_iter().enumerate() {
                        let at = (channel * vectors + vector) * LANES;
                        let out = block.row((SEEN * y + x) * taps + tap, at..at + LANES);
                        s.store(v, out.first_chunk_mut().expect("sixteen numbers"));
                    }
                }
            }
        }
    }
}

/// Transforms what the tiles of some rows see of a frame: `[point]` of left panels.
fn transform_frame(exec: Exec, shape: &Conv3d, plan: Plan, pixels: &[f32], strip: Range<usize>, out: &mut [f32]) {
    let tiles = strip.len() * plan.across;
    let (plane, panel) = (tiles * plan.channels, plan.height(tiles) * plan.channels);
    Blocks::new(out, POINTS, plane, plane, [POINTS, panel]).for_each(|block| {
        if !exec.stopped() {
            exec.run(FrameTask { shape, plan, pixels, first: strip.start * plan.across, block });
        }
    });
}

/// One panel of tiles of a frame.
struct FrameTask<'a> {
    shape: &'a Conv3d,
    plan: Plan,
    pixels: &'a [f32],
    /// The first tile of all panels.
    first: usize,
    block: Block<'a>,
}

impl Kernel for FrameTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, plan, pixels, first, mut block } = self;
        let channels = shape.in_channels;
        let tiles = block.columns / plan.channels;
        for i in 0..tiles {
            let tile = first + block.column / plan.channels + i;
            // What lies above or left of the frame wraps, and so is outside of it as well.
            let y = (tile / plan.across * SIDE).wrapping_sub(shape.pad[0]);
            let x = (tile % plan.across * SIDE).wrapping_sub(shape.pad[2]);
            for (chunk, channel) in (0..channels).step_by(LANES).enumerate() {
                let here = LANES.min(channels - channel);
                let mut half = [[s.zero(); SEEN]; SEEN];
                for (dy, half) in half.iter_mut().enumerate() {
                    let y = y.wrapping_add(dy);
                    if y >= shape.height {
                        continue;
                    }
                    let mut line = [s.zero(); SEEN];
                    for (dx, v) in line.iter_mut().enumerate() {
                        let x = x.wrapping_add(dx);
                        if x < shape.width {
                            let numbers = &pixels[(y * shape.width + x) * channels + channel..][..here];
                            *v = match numbers.first_chunk() {
                                Some(numbers) => s.load(numbers),
                                None => s.load_partial(numbers),
                            };
                        }
                    }
                    *half = transform_input(s, line);
                }
                let at = (chunk * tiles + i) * LANES;
                for x in 0..SEEN {
                    let mut column = [s.zero(); SEEN];
                    for (v, half) in column.iter_mut().zip(&half) {
                        *v = half[x];
                    }
                    for (y, v) in transform_input(s, column).into_iter().enumerate() {
                        let out = block.row(SEEN * y + x, at..at + LANES);
                        s.store(v, out.first_chunk_mut().expect("sixteen numbers"));
                    }
                }
            }
        }
    }
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
        let (tiles, width) = (block.rows, S::TILE[1] * LANES);
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
                    Tile { rows, left, right, bias: None, then, out }.run(s);
                }
            }
        }
    }
}

/// What becomes of the products.
struct Finish<'a> {
    plan: Plan,
    /// Numbers of a pixel of the output.
    stride: usize,
    bias: Option<&'a [f32]>,
    /// The frame's, like the output.
    residual: Option<&'a [f32]>,
    /// Rows of tiles.
    strip: Range<usize>,
    columns: Range<usize>,
}

impl Finish<'_> {
    /// Transforms the sums back to pixels of a frame.
    fn run(&self, exec: Exec, sums: &[f32], out: &mut [f32]) {
        let [height, width] = self.plan.size;
        let rows = self.strip.start * SIDE..height.min(self.strip.end * SIDE);
        let first = rows.start * width * self.stride + self.columns.start;
        let pixels = rows.len() * width;
        let block = [SIDE * width, self.columns.len()];
        Blocks::new(&mut out[first..], pixels, self.columns.len(), self.stride, block).for_each(|block| {
            if !exec.stopped() {
                exec.run(FinishTask { all: self, sums, block });
            }
        });
    }
}

/// One row of tiles.
struct FinishTask<'a> {
    all: &'a Finish<'a>,
    sums: &'a [f32],
    block: Block<'a>,
}

impl Kernel for FinishTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { all: Finish { plan, stride, bias, residual, strip, columns }, sums, mut block } = self;
        let (width, across) = (plan.size[1], plan.across);
        let wide = columns.len().next_multiple_of(S::TILE[1] * LANES) / LANES;
        let plane = strip.len() * across * wide;
        let (sums, _) = sums.as_chunks::<LANES>();
        for (tile, column) in (0..across).flat_map(|tile| (0..columns.len()).step_by(LANES).map(move |c| (tile, c))) {
            let here = column..columns.len().min(column + LANES);
            let first = (block.row / (SIDE * width) * across + tile) * wide + column / LANES;
            let mut half = [[s.zero(); SEEN]; SIDE];
            for x in 0..SEEN {
                let mut column = [s.zero(); SEEN];
                for (y, v) in column.iter_mut().enumerate() {
                    *v = s.load(&sums[(SEEN * y + x) * plane + first]);
                }
                for (half, v) in half.iter_mut().zip(transform_sums(s, column)) {
                    half[x] = v;
                }
            }
            let added = columns.start + here.start..columns.start + here.end;
            let bias = bias.map_or(s.zero(), |bias| s.load_partial(&bias[added.clone()]));
            for (y, half) in half.into_iter().enumerate().take(block.rows / width) {
                for (x, v) in transform_sums(s, half).into_iter().enumerate().take(width - tile * SIDE) {
                    let pixel = y * width + tile * SIDE + x;
                    let mut v = v + bias;
                    if let Some(residual) = residual {
                        let from = (strip.start * SIDE * width + block.row + pixel) * stride;
                        v = v + s.load_partial(&residual[from + added.start..from + added.end]);
                    }
                    let out = block.row(pixel, here.clone());
                    match out.first_chunk_mut() {
                        Some(out) => s.store(v, out),
                        None => s.store_partial(v, out),
                    }
                }
            }
        }
    }
}

/// The points, and what is made of them.
const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;

/// Six numbers of a line of the input to the six points.
#[inline(always)]
fn transform_input<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5]: [S::V; SEEN]) -> [S::V; SEEN] {
    let (a, b, half, two, both) = (s.splat(A), s.splat(B), s.splat(0.5), s.splat(2.0), s.splat(2.5));
    let (even_a, even_b) = (s.neg_fma(two, d2, d4), s.neg_fma(half, d2, d4));
    let (odd_a, odd_b) = (s.neg_fma(two, d1, d3), s.neg_fma(half, d1, d3));
    [
        s.neg_fma(both, d2, d0 + d4),
        s.fma(a, odd_a, even_a),
        s.neg_fma(a, odd_a, even_a),
        s.fma(b, odd_b, even_b),
        s.neg_fma(b, odd_b, even_b),
        s.neg_fma(both, d3, d1 + d5),
    ]
}

/// Three numbers of a line of the kernel to the six points.
#[inline(always)]
fn transform_kernel<S: Simd>(s: S, [g0, g1, g2]: [S::V; 3]) -> [S::V; SEEN] {
    let (third, sixth) = (s.splat(-2.0 / 3.0), s.splat(1.0 / 6.0));
    let (even_a, even_b) = (s.fma(s.splat(0.5), g2, g0), s.fma(s.splat(2.0), g2, g0));
    let (odd_a, odd_b) = (s.splat(A) * g1, s.splat(B) * g1);
    [g0, (even_a + odd_a) * third, (even_a - odd_a) * third, (even_b + odd_b) * sixth, (even_b - odd_b) * sixth, g2]
}

/// Six points' sums to four numbers of a line of the output.
#[inline(always)]
fn transform_sums<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; SEEN]) -> [S::V; SIDE] {
    let (sum_a, sum_b, odd_a, odd_b) = (m1 + m2, m3 + m4, m1 - m2, m3 - m4);
    [
        m0 + (sum_a + sum_b),
        s.fma(s.splat(A), odd_a, s.splat(B) * odd_b),
        s.fma(s.splat(0.5), sum_a, s.splat(2.0) * sum_b),
        s.fma(s.splat(A * A * A), odd_a, s.fma(s.splat(B * B * B), odd_b, m5)),
    ]
}
