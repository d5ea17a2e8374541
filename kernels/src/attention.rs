//! Attention with a streamed softmax: the matrix of queries by keys never exists.
//!
//! A task takes some queries of one head and walks over blocks of keys. All products run transposed, `K Q^T` and then
//! `V^T P`: queries lie along the lanes of vectors, so the softmax needs no sums across lanes, and what it leaves is
//! already packed as the right operand of the second product. Running maximum and sum as in Milakov and Gimelshein,
//! "Online normalizer calculation for softmax" (arXiv 1805.02867); blocks as in FlashAttention (arXiv 2205.14135).

use crate::arch::blocks::{Block, Blocks};
use crate::gemm::pack::{self, SLACK};
use crate::gemm::tile::{self, MR, NR};
use crate::math::exp;
use crate::simd::{Kernel, Simd};
use crate::stored::F32;
use crate::{Exec, scratch};

#[cfg(test)]
mod tests;

/// Numbers in a block of keys, of values or of queries, about: 96 KiB each.
const BLOCK: usize = 24 * 1024;

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
        if self.head_dim == 0 || self.queries == 0 { 0 } else { scratch::bytes(Plan::new(self).numbers(self.head_dim)) }
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
        scratch::with(plan.numbers(s.head_dim), |memory| {
            exec.run(Task { exec, shape: s, q, k, v, bias, plan, memory, block });
        });
    });
}

/// Sizes of a task's blocks.
#[derive(Clone, Copy)]
struct Plan {
    /// A multiple of [`NR`].
    queries: usize,
    /// A multiple of [`MR`].
    keys: usize,
    /// Numbers per head, up to a multiple of [`MR`].
    dims: usize,
}

impl Plan {
    /// Blocks of equal size, whose number depends on the shape alone.
    fn new(s: &Attention) -> Self {
        let even = |all: usize, most: usize, unit: usize| {
            all.div_ceil(all.div_ceil(most).max(1)).max(1).next_multiple_of(unit)
        };
        let queries = even(s.queries, (BLOCK / s.head_dim).clamp(128, 256), NR);
        let keys = even(s.keys, (BLOCK / s.head_dim).clamp(48, 192), MR);
        Self { queries, keys, dims: s.head_dim.next_multiple_of(MR) }
    }

    /// Numbers of working memory.
    fn numbers(self, head_dim: usize) -> usize {
        let keys = self.keys * head_dim + SLACK + self.keys * self.dims + SLACK + 2 * NR;
        keys + self.queries * (head_dim + self.dims + 2) + 2 * self.keys * NR
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

/// The running state of sixteen queries, one per lane.
struct Lanes<'a> {
    /// The greatest score so far.
    most: &'a mut [f32; NR],
    /// The sum of exponentials so far.
    sum: &'a mut [f32; NR],
    /// `[dims][16]`: the sum of values so far, each times its exponential.
    values: &'a mut [[f32; NR]],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { exec, shape, q, k, v, bias, plan, mut memory, mut block } = self;
        let dim = shape.head_dim;
        let mut take = |numbers: usize| memory.split_off_mut(..numbers).expect("Plan::numbers counts all");
        let queries = take(plan.queries * dim);
        let values_so_far = take(plan.queries * plan.dims);
        let scores = take(plan.keys * NR);
        let offsets = take(plan.keys * NR);
        let state = take(plan.queries * 2);
        let keys = take((plan.keys * dim + SLACK).next_multiple_of(NR));
        let values = take((plan.keys * plan.dims + SLACK).next_multiple_of(NR));

        let q_bytes: &[u8] = bytemuck::cast_slice(&q[block.column..]);
        for (i, panel) in (0..block.rows).step_by(NR).zip(queries.chunks_mut(dim * NR)) {
            let stride = shape.q_stride * size_of::<f32>();
            let bytes = &q_bytes[(block.row + i) * stride..];
            pack::right::<S, F32>(s, bytes, stride, NR.min(block.rows - i), dim, Some, panel);
        }
        for lanes in state.as_chunks_mut::<{ 2 * NR }>().0 {
            let (most, sum) = lanes.split_at_mut(NR);
            // Not minus infinity, whose difference from a hidden key's score would not be a number.
            most.fill(f32::MIN);
            sum.fill(0.0);
        }
        values_so_far.fill(0.0);

        for start in (0..shape.keys).step_by(plan.keys) {
            let here = plan.keys.min(shape.keys - start);
            pack_keys(s, shape, k, block.column, start, here, keys);
            pack_values(s, shape, v, block.column, start, here, values);
            let panels = (0..block.rows).step_by(NR).zip(queries.chunks(dim * NR));
            let states = state.as_chunks_mut::<{ 2 * NR }>().0.iter_mut();
            for (((i, queries), state), so_far) in panels.zip(states).zip(values_so_far.chunks_mut(plan.dims * NR)) {
                if exec.stopped() {
                    return;
                }
                let (scores, _) = scores.as_chunks_mut::<NR>();
                for (key, panel) in (0..here).step_by(MR).zip(keys.chunks(dim * MR)) {
                    let sums = tile::product(s, &panel[..dim * MR], queries);
                    for (row, sum) in scores[key..key + MR].iter_mut().zip(sums) {
                        let [a, b] = tile::halves_mut(row);
                        s.store(sum[0], a);
                        s.store(sum[1], b);
                    }
                }
                let ([most, sum], _) = state.as_chunks_mut::<NR>() else { unreachable!("two times sixteen") };
                let (values_so_far, _) = so_far.as_chunks_mut::<NR>();
                let mut lanes = Lanes { most, sum, values: values_so_far };
                let scores = &mut scores[..here];
                match bias {
                    AttentionBias::None => weigh(s, shape.scale, |_| [s.zero(); 2], scores, &mut lanes),
                    AttentionBias::PerKey(bias) => {
                        let bias = &bias[start..start + here];
                        weigh(s, shape.scale, |key| [s.splat(bias[key]); 2], scores, &mut lanes);
                    }
                    AttentionBias::PerHead(bias) => {
                        let first = (block.column / dim * shape.queries + block.row + i) * shape.keys + start;
                        let stride = shape.keys * size_of::<f32>();
                        let bytes: &[u8] = bytemuck::cast_slice(&bias[first..]);
                        pack::right::<S, F32>(s, bytes, stride, NR.min(block.rows - i), here, Some, offsets);
                        let offsets = &offsets.as_chunks::<NR>().0[..here];
                        let load = |key: usize| {
                            let [a, b] = tile::halves(&offsets[key]);
                            [s.load(a), s.load(b)]
                        };
                        weigh(s, shape.scale, load, scores, &mut lanes);
                    }
                }
                for (panel, rows) in values.chunks(here * MR).zip(lanes.values.chunks_mut(MR)) {
                    let sums = tile::product(s, &panel[..here * MR], scores.as_flattened());
                    for (row, sum) in rows.iter_mut().zip(sums) {
                        let [a, b] = tile::halves_mut(row);
                        s.store(s.load(a) + sum[0], a);
                        s.store(s.load(b) + sum[1], b);
                    }
                }
            }
        }

        for (i, state) in (0..block.rows).step_by(NR).zip(state.as_chunks::<{ 2 * NR }>().0) {
            let values = &values_so_far[i * plan.dims..][..plan.dims * NR].as_chunks().0[..dim];
            let sums = state[NR..].first_chunk().expect("two times sixteen");
            divide(s, values, sums, if shape.keys == 0 { 1.0 } else { 0.0 }, i, &mut block);
        }
    }
}

/// Packs keys as left panels, `[head_dim][6]` each; the last key fills a panel's rest.
#[inline(always)]
fn pack_keys<S: Simd>(
    s: S,
    shape: &Attention,
    k: &[f32],
    column: usize,
    start: usize,
    count: usize,
    mut panels: &mut [f32],
) {
    for key in (0..count).step_by(MR) {
        let mut rows = [&k[..0]; MR];
        for (i, row) in rows.iter_mut().enumerate() {
            let key = start + (key + i).min(count - 1);
            *row = &k[key * shape.kv_stride + column..][..shape.head_dim];
        }
        pack::left(s, rows, panels);
        panels = &mut panels[shape.head_dim * MR..];
    }
}

/// Packs values as left panels of their transpose, `[count][6]` each; what a panel holds past the head is unspecified.
#[inline(always)]
fn pack_values<S: Simd>(
    s: S,
    shape: &Attention,
    v: &[f32],
    column: usize,
    start: usize,
    count: usize,
    mut panels: &mut [f32],
) {
    for dim in (0..shape.head_dim).step_by(MR) {
        for key in 0..count {
            let row = &v[(start + key) * shape.kv_stride + column..][dim..shape.head_dim];
            let numbers = match row.first_chunk() {
                Some(eight) => s.load(eight),
                None => s.load_partial(row),
            };
            // The next key overwrites the two numbers too many.
            s.store(numbers, panels[key * MR..].first_chunk_mut().expect("panels end in slack"));
        }
        panels = &mut panels[count * MR..];
    }
}

/// Turns scores into exponentials and brings the running state to the new maximum.
#[inline(always)]
fn weigh<S: Simd>(s: S, scale: f32, bias: impl Fn(usize) -> [S::V; 2], scores: &mut [[f32; NR]], lanes: &mut Lanes) {
    let scale = s.splat(scale);
    let [most_a, most_b] = tile::halves_mut(lanes.most);
    let (old_a, old_b) = (s.load(most_a), s.load(most_b));
    let (mut new_a, mut new_b) = (old_a, old_b);
    for (key, scores) in scores.iter_mut().enumerate() {
        let [a, b] = tile::halves_mut(scores);
        let bias = bias(key);
        let (score_a, score_b) = (s.fma(s.load(a), scale, bias[0]), s.fma(s.load(b), scale, bias[1]));
        s.store(score_a, a);
        s.store(score_b, b);
        new_a = s.max(score_a, new_a);
        new_b = s.max(score_b, new_b);
    }
    s.store(new_a, most_a);
    s.store(new_b, most_b);

    let (shrink_a, shrink_b) = (exp(s, old_a - new_a), exp(s, old_b - new_b));
    let [sum_a, sum_b] = tile::halves_mut(lanes.sum);
    let (mut total_a, mut total_b) = (s.load(sum_a) * shrink_a, s.load(sum_b) * shrink_b);
    for scores in scores {
        let [a, b] = tile::halves_mut(scores);
        let (weight_a, weight_b) = (exp(s, s.load(a) - new_a), exp(s, s.load(b) - new_b));
        s.store(weight_a, a);
        s.store(weight_b, b);
        total_a = total_a + weight_a;
        total_b = total_b + weight_b;
    }
    s.store(total_a, sum_a);
    s.store(total_b, sum_b);

    // After the first blocks the maximum seldom grows.
    if s.sum(shrink_a) + s.sum(shrink_b) != NR as f32 {
        for values in lanes.values.iter_mut() {
            let [a, b] = tile::halves_mut(values);
            s.store(s.load(a) * shrink_a, a);
            s.store(s.load(b) * shrink_b, b);
        }
    }
}

/// Divides sixteen queries' values by their sums (and `more`) and writes them to their rows.
#[inline(always)]
fn divide<S: Simd>(s: S, values: &[[f32; NR]], sums: &[f32; NR], more: f32, row: usize, block: &mut Block) {
    for (half, sums) in tile::halves(sums).into_iter().enumerate() {
        let factor = s.splat(1.0) / (s.load(sums) + s.splat(more));
        for dim in (0..values.len()).step_by(8) {
            let dims = dim..values.len().min(dim + 8);
            let mut eight = [s.zero(); 8];
            for (v, values) in eight.iter_mut().zip(&values[dims.clone()]) {
                *v = s.load(tile::halves(values)[half]) * factor;
            }
            let rows = row + half * 8..block.rows.min(row + half * 8 + 8);
            for (row, v) in rows.zip(s.transpose(eight)) {
                let out = block.row(row, dims.clone());
                match out.first_chunk_mut() {
                    Some(out) => s.store(v, out),
                    None => s.store_partial(v, out),
                }
            }
        }
    }
}
