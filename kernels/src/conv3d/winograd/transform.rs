//! The transforms around the products: of the weight, of what the tiles see, and of the sums.

use std::marker::PhantomData;
use std::ops::Range;

use super::plan::{POINTS, Plan, SEEN, SIDE};
use crate::arch::blocks::{Block, Blocks};
use crate::conv3d::shape::{Conv3d, Onto};
use crate::gemm::pack;
use crate::simd::{Kernel, LANES, Simd};
use crate::stored::Storage;
use crate::{Exec, scratch};

/// Fills `out` with the transformed weight of some columns, `[panel][point][tap][channel][column]`.
pub(super) fn transform_weight<T: Storage>(
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
            let vectors = width / LANES;
            exec.run(WeightTask::<T> { shape, vectors, bytes, columns, channels, memory, block, storage: PhantomData });
        });
    });
}

/// Sixteen channels of a panel of the weight.
struct WeightTask<'a, T> {
    shape: &'a Conv3d,
    /// Vectors of a panel.
    vectors: usize,
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
        let Self { shape, vectors, bytes, columns, channels, memory, mut block, storage: _ } = self;
        let taps = shape.kernel[0];
        let stride = shape.in_channels * taps * 9 * T::SIZE;
        let terms = channels.len() * taps * 9;
        let from = columns.start * stride + channels.start * taps * 9 * T::SIZE;
        let bytes = bytes.get(from..).unwrap_or_default();
        pack::right_of::<S, T>(s, vectors, bytes, stride, columns.len(), terms, Some, memory);
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
pub(super) fn transform_frame(
    exec: Exec,
    shape: &Conv3d,
    plan: Plan,
    pixels: &[f32],
    strip: Range<usize>,
    out: &mut [f32],
) {
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

/// What becomes of the products.
pub(super) struct Finish<'a> {
    pub(super) plan: Plan,
    /// Numbers of a pixel of the output.
    pub(super) stride: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) onto: Onto,
    /// Rows of tiles.
    pub(super) strip: Range<usize>,
    pub(super) columns: Range<usize>,
}

impl Finish<'_> {
    /// Transforms the sums back to pixels of a frame.
    pub(super) fn run(&self, exec: Exec, sums: &[f32], out: &mut [f32]) {
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
        let Self { all: Finish { plan, bias, onto, strip, columns, .. }, sums, mut block } = self;
        let (width, across) = (plan.size[1], plan.across);
        let wide = columns.len().next_multiple_of(plan.tile[1]) / LANES;
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
                    let v = v + bias;
                    let out = block.row(pixel, here.clone());
                    match (onto, out.first_chunk_mut()) {
                        (Onto::Nothing, Some(out)) => s.store(v, out),
                        (Onto::Output, Some(out)) => s.store(v + s.load(out), out),
                        (Onto::Nothing, None) => s.store_partial(v, out),
                        (Onto::Output, None) => s.store_partial(v + s.load_partial(out), out),
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
