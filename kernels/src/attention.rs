//! Attention with a streamed softmax: the matrix of queries by keys never exists.
//!
//! A task takes some queries of one head and walks over blocks of keys. A tile of queries meets all keys of a block at
//! once; its scores stay in the level-one cache, become exponentials there and are, as they lie, the left panel of the
//! product with the values. Running maximum and sum as in Milakov and Gimelshein, "Online normalizer calculation for
//! softmax" (arXiv 1805.02867); blocks as in FlashAttention (arXiv 2205.14135).

use crate::arch::blocks::{Block, Blocks};
use crate::gemm::pack;
use crate::gemm::tile::{Lines, MR, NR, Part, Then, Tile};
use crate::math::exp_of_less;
use crate::simd::{Kernel, LANES, Simd};
use crate::stored::F32;
use crate::{Exec, scratch};

#[cfg(test)]
mod tests;

/// Numbers in a block of keys or of values, about: 128 KiB.
const BLOCK: usize = 32 * 1024;
/// Numbers in a block of queries, about. They pass by once for each block of keys, which are brought together again for
/// each block of queries and come from farther.
const QUERIES: usize = 2 * BLOCK;
/// Rows of values that are asked for ahead of their use: they lie too far apart for the machine to foresee them.
const AHEAD: usize = 8;

/// The shape of an attention over rows that hold all heads side by side: head `h` begins at `h * head_dim`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Heads, each of which attends for itself.
    pub heads: usize,
    /// Numbers per head of a row.
    pub head_dim: usize,
    /// Rows of `q` and of the output.
    pub queries: usize,
    /// Rows of `k` and `v` that are attended to; rows beyond are never read.
    pub keys: usize,
    /// Numbers from one row of `q` to the next.
    pub q_stride: usize,
    /// Numbers from one row of `k` or `v` to the next.
    pub kv_stride: usize,
    /// Numbers from one row of the output to the next.
    pub out_stride: usize,
    /// What products of queries and keys are multiplied by, as a rule `1 / sqrt(head_dim)`.
    pub scale: f32,
}

impl Attention {
    /// Bytes of working memory that [`attention`] keeps on each thread.
    pub fn scratch(&self) -> usize {
        if self.head_dim == 0 || self.queries == 0 { 0 } else { scratch::bytes(Plan::new(self).numbers()) }
    }
}

/// What is added to the scaled products of queries and keys; minus infinity hides a key.
#[derive(Clone, Copy, Debug)]
pub enum AttentionBias<'a> {
    /// Nothing.
    None,
    /// `[keys]`: the same for all heads and queries.
    PerKey(&'a [f32]),
    /// `[heads, queries, keys]`.
    PerHead(&'a [f32]),
}

/// `softmax(scale q k^T + bias) v` for each head.
///
/// `q` is `[queries, heads, head_dim]`, `k` and `v` `[keys, heads, head_dim]` and `out` like `q`, each with rows as far
/// apart as the shape says. A query that sees no key gets zeros if there are no keys, and NaN if its bias hides all of
/// them. One level gives the same bits on any number of threads.
///
/// # Panics
///
/// If rows are further apart than long, or a slice is shorter than the shape says.
pub fn attention(exec: Exec, s: &Attention, q: &[f32], k: &[f32], v: &[f32], bias: AttentionBias, out: &mut [f32]) {
    let width = s.heads * s.head_dim;
    let holds = |x: &[f32], rows: usize, stride: usize| {
        rows == 0 || (stride >= width && x.len() >= (rows - 1) * stride + width)
    };
    assert!(holds(q, s.queries, s.q_stride), "attention: q of {s:?}");
    assert!(holds(k, s.keys, s.kv_stride), "attention: k of {s:?}");
    assert!(holds(v, s.keys, s.kv_stride), "attention: v of {s:?}");
    match bias {
        AttentionBias::None => {}
        AttentionBias::PerKey(b) => assert_eq!(b.len(), s.keys, "attention: bias of {s:?}"),
        AttentionBias::PerHead(b) => assert_eq!(b.len(), s.heads * s.queries * s.keys, "attention: bias of {s:?}"),
    }
    if s.head_dim == 0 || s.queries == 0 {
        return;
    }
    let plan = Plan::new(s);
    Blocks::new(out, s.queries, width, s.out_stride, [plan.queries, s.head_dim]).for_each(|block| {
        if exec.stopped() {
            return;
        }
        scratch::with(plan.numbers(), |memory| {
            exec.run(Task { exec, shape: s, q, k, v, bias, plan, memory, block });
        });
    });
}

/// Sizes of a task's blocks.
#[derive(Clone, Copy)]
struct Plan {
    /// Queries of a task, at most.
    queries: usize,
    /// A multiple of [`NR`].
    keys: usize,
    /// Numbers per head as terms of a sum.
    dims: usize,
    /// Numbers per head as columns of a product.
    wide: usize,
}

impl Plan {
    /// Blocks of equal size, whose number depends on the shape alone.
    fn new(s: &Attention) -> Self {
        let even = |all: usize, most: usize, unit: usize| {
            all.div_ceil(all.div_ceil(most).max(1)).max(1).next_multiple_of(unit)
        };
        let queries = even(s.queries, (QUERIES / s.head_dim).clamp(10 * MR, 48 * MR), MR);
        let keys = even(s.keys, (BLOCK / s.head_dim / NR * NR).clamp(2 * NR, 8 * NR), NR);
        Self { queries, keys, dims: s.head_dim.next_multiple_of(LANES), wide: s.head_dim.next_multiple_of(NR) }
    }

    /// Numbers of working memory.
    fn numbers(self) -> usize {
        (self.queries + self.keys) * self.dims + self.keys * (self.wide + MR) + self.queries * (LANES + 1)
    }
}

/// Some queries of one head.
struct Task<'a> {
    exec: Exec<'a>,
    shape: &'a Attention,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    bias: AttentionBias<'a>,
    plan: Plan,
    memory: &'a mut [f32],
    block: Block<'a>,
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { exec, shape, q, k, v, bias, plan, mut memory, mut block } = self;
        let dim = shape.head_dim;
        let mut take = |numbers: usize| memory.split_off_mut(..numbers).expect("Plan::numbers counts all");
        let queries = take(block.rows * plan.dims);
        let keys = take(plan.keys * plan.dims);
        let values = take(plan.keys * plan.wide);
        let scores = take(plan.keys * MR).as_chunks_mut::<LANES>().0;
        let sums = take(block.rows * LANES).as_chunks_mut::<LANES>().0;
        let most = take(block.rows);

        // Tiles of equal height, not full ones and a rest.
        let height = block.rows.div_ceil(block.rows.div_ceil(S::TILE[0]));
        let width = S::TILE[1] * LANES;
        pack_queries(s, shape, &q[block.row * shape.q_stride + block.column..], height, block.rows, queries);
        sums.fill([0.0; LANES]);
        // Not minus infinity, whose difference from a hidden key's score would not be a number.
        most.fill(f32::MIN);
        if shape.keys == 0 {
            for row in 0..block.rows {
                block.row(row, 0..dim).fill(0.0);
            }
            return;
        }

        for start in (0..shape.keys).step_by(plan.keys) {
            let here = plan.keys.min(shape.keys - start);
            let chunks = here.div_ceil(LANES);
            let first = start * shape.kv_stride + block.column;
            pack_keys(s, shape, &k[first..], here, keys);
            pack_values(s, shape, &v[first..], here, values);
            for row in (0..block.rows).step_by(height) {
                if exec.stopped() {
                    return;
                }
                let rows = height.min(block.rows - row);
                let left = &queries[row * plan.dims..][..rows * plan.dims];
                for (panel, right) in (0..here).step_by(width).zip(keys.chunks(plan.dims * width)) {
                    let lines = &mut scores[panel / LANES * rows..];
                    let out = Lines { lines, strides: [1, rows] };
                    Tile { rows, left, right, bias: None, then: Then::Set, out }.run(s);
                }
                let mut shrink = [1.0; MR];
                for i in 0..rows {
                    let query = block.row + row + i;
                    let bias = match bias {
                        AttentionBias::None => None,
                        AttentionBias::PerKey(bias) => Some(&bias[start..start + here]),
                        AttentionBias::PerHead(bias) => {
                            let first = (block.column / dim * shape.queries + query) * shape.keys + start;
                            Some(&bias[first..first + here])
                        }
                    };
                    let before = most[row + i];
                    most[row + i] = greatest(s, &mut scores[i..], rows, here, bias, before);
                    shrink[i] = before - most[row + i];
                }
                exp_of_all(s, &mut shrink);
                for i in 0..rows {
                    weigh(s, &mut scores[i..], rows, chunks, most[row + i], shrink[i], &mut sums[row + i]);
                    // After the first blocks the maximum seldom grows.
                    if start > 0 && shrink[i] != 1.0 {
                        times(s, s.splat(shrink[i]), block.row(row + i, 0..dim));
                    }
                }
                let left = &scores.as_flattened()[..chunks * rows * LANES];
                let then = if start == 0 { Then::Set } else { Then::Add };
                for (column, right) in (0..dim).step_by(width).zip(values.chunks(chunks * LANES * width)) {
                    let out = Part { block: &mut block, row, columns: column..dim.min(column + width) };
                    Tile { rows, left, right, bias: None, then, out }.run(s);
                }
            }
        }
        for (row, sum) in sums.iter().enumerate() {
            let sum = s.sum(s.load(sum));
            times(s, s.splat(1.0 / sum), block.row(row, 0..dim));
        }
    }
}

/// Packs queries, times the scale, as left panels of `height` rows.
#[inline(always)]
fn pack_queries<S: Simd>(s: S, shape: &Attention, q: &[f32], height: usize, count: usize, panels: &mut [f32]) {
    let dim = shape.head_dim;
    let dims = dim.next_multiple_of(LANES);
    for start in (0..count).step_by(height) {
        let rows = height.min(count - start);
        let panel = &mut panels[start * dims..][..rows * dims];
        for row in 0..rows {
            pack::left(s, &q[(start + row) * shape.q_stride..][..dim], rows, row, 0, panel);
        }
        pack::left_end(rows, dim, panel);
        times(s, s.splat(shape.scale), panel);
    }
}

/// Packs keys as right panels of their transpose.
#[inline(always)]
fn pack_keys<S: Simd>(s: S, shape: &Attention, k: &[f32], count: usize, panels: &mut [f32]) {
    let (dim, width) = (shape.head_dim, S::TILE[1] * LANES);
    let dims = dim.next_multiple_of(LANES);
    let (bytes, stride): (&[u8], _) = (bytemuck::cast_slice(k), shape.kv_stride * size_of::<f32>());
    for (key, panel) in (0..count).step_by(width).zip(panels.chunks_mut(dims * width)) {
        for at in pack::lines(stride, key + width..count.min(key + 2 * width), dim * size_of::<f32>()) {
            s.prefetch(bytes, at);
        }
        pack::right::<S, F32>(s, &bytes[key * stride..], stride, width.min(count - key), dim, Some, panel);
        panel[dim * width..].fill(0.0);
    }
}

/// Packs values as right panels; keys up to a whole vector get zeros.
#[inline(always)]
fn pack_values<S: Simd>(s: S, shape: &Attention, v: &[f32], count: usize, panels: &mut [f32]) {
    let vectors = S::TILE[1];
    let terms = count.next_multiple_of(LANES);
    let (lines, _) = panels.as_chunks_mut::<LANES>();
    for key in 0..count {
        for at in (0..shape.head_dim).step_by(LANES) {
            s.prefetch(v, (key + AHEAD) * shape.kv_stride + at);
        }
        let row = &v[key * shape.kv_stride..][..shape.head_dim];
        let (whole, rest) = row.as_chunks::<LANES>();
        let line = |i: usize| (i / vectors * terms + key) * vectors + i % vectors;
        for (i, numbers) in whole.iter().enumerate() {
            s.store(s.load(numbers), &mut lines[line(i)]);
        }
        // The rest of the last panel counts for nothing that is kept, but must be numbers.
        for i in whole.len()..row.len().div_ceil(LANES).next_multiple_of(vectors) {
            let rest = if i == whole.len() { rest } else { &[] };
            s.store(s.load_partial(rest), &mut lines[line(i)]);
        }
    }
    for panel in lines.chunks_mut(terms * vectors).take(shape.head_dim.div_ceil(LANES * vectors)) {
        panel[count * vectors..].fill([0.0; LANES]);
    }
}

/// Adds the bias to one query's scores, whose vectors lie `stride` apart, and returns the greatest of them and of
/// `most`.
#[inline(always)]
fn greatest<S: Simd>(
    s: S,
    scores: &mut [[f32; LANES]],
    stride: usize,
    count: usize,
    bias: Option<&[f32]>,
    most: f32,
) -> f32 {
    let chunks = count.div_ceil(LANES);
    if !count.is_multiple_of(LANES) {
        // Lanes without a key.
        scores[(chunks - 1) * stride][count % LANES..].fill(f32::NEG_INFINITY);
    }
    let mut greatest = s.splat(most);
    if let Some(bias) = bias {
        for (scores, bias) in scores.iter_mut().step_by(stride).zip(bias.chunks(LANES)) {
            let score = s.load(scores) + s.load_partial(bias);
            s.store(score, scores);
            greatest = s.max(score, greatest);
        }
    } else {
        for scores in scores.iter().step_by(stride).take(chunks) {
            greatest = s.max(s.load(scores), greatest);
        }
    }
    s.max_lane(greatest)
}

/// The exponentials of a tile's numbers up to 0.
#[inline(always)]
fn exp_of_all<S: Simd>(s: S, numbers: &mut [f32; MR]) {
    let mut lanes = [0.0; LANES];
    lanes[..MR].copy_from_slice(numbers);
    numbers.copy_from_slice(&s.to_array(exp_of_less(s, s.load(&lanes)))[..MR]);
}

/// Replaces one query's scores by exponentials of their distance to the greatest, and adds those to its sum, which is
/// multiplied by `shrink` before.
#[inline(always)]
fn weigh<S: Simd>(
    s: S,
    scores: &mut [[f32; LANES]],
    stride: usize,
    chunks: usize,
    most: f32,
    shrink: f32,
    sum: &mut [f32; LANES],
) {
    let mut total = s.zero();
    let middle = s.splat(most);
    for scores in scores.iter_mut().step_by(stride).take(chunks) {
        let weight = exp_of_less(s, s.load(scores) - middle);
        s.store(weight, scores);
        total = total + weight;
    }
    s.store(s.fma(s.load(sum), s.splat(shrink), total), sum);
}

/// Multiplies numbers by a factor.
#[inline(always)]
fn times<S: Simd>(s: S, factor: S::V, numbers: &mut [f32]) {
    let (whole, rest) = numbers.as_chunks_mut::<LANES>();
    for numbers in whole {
        s.store(s.load(numbers) * factor, numbers);
    }
    if !rest.is_empty() {
        s.store_partial(s.load_partial(rest) * factor, rest);
    }
}
