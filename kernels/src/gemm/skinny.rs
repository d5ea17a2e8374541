//! Products of very few rows: the weight is read once, straight into the sums, since packing would cost more than it saves.

use std::marker::PhantomData;

use super::operands::After;
use crate::arch::blocks::{Block, Blocks};
use crate::simd::{Kernel, LANES, Simd};
use crate::stored::{Storage, for_storage};
use crate::{Exec, Stored};

/// The most rows for which this is the faster way.
pub(super) const ROWS: usize = 4;
/// Columns per task.
const COLUMNS: usize = 64;
/// Columns summed at once.
const TOGETHER: usize = 4;

/// A linear layer but for its weight.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) x: &'a [f32],
    pub(super) rows: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) then: After<'a>,
}

/// Fills `out: [rows, n]`.
pub(super) fn run(exec: Exec, layer: Layer, w: Stored, out: &mut [f32]) {
    Blocks::new(out, layer.rows, layer.n, layer.n, [ROWS, COLUMNS]).for_each(|block| {
        for_storage!(w, |w, T| exec.run(Task::<T> { exec, layer, w, block, storage: PhantomData }));
    });
}

struct Task<'a, T> {
    exec: Exec<'a>,
    layer: Layer<'a>,
    w: &'a [u8],
    block: Block<'a>,
    storage: PhantomData<T>,
}

impl<T: Storage> Kernel for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { exec, layer: Layer { x, k, bias, then, .. }, w, mut block, storage: _ } = self;
        for column in (0..block.columns).step_by(TOGETHER) {
            if exec.stopped() {
                return;
            }
            let columns = column..block.columns.min(column + TOGETHER);
            // A column too many is summed as another one and dropped.
            let weights: [&[u8]; TOGETHER] = std::array::from_fn(|i| {
                let n = block.column + columns.end.min(column + i + 1) - 1;
                &w[n * k * T::SIZE..(n + 1) * k * T::SIZE]
            });
            let (sum_of, bias) = (columns.len(), bias.map(|b| &b[block.column + columns.start..]));
            for row in 0..block.rows {
                let sums = dots::<S, T>(s, &x[row * k..(row + 1) * k], weights);
                let mut sum = s.load_partial(&sums[..sum_of]);
                if let Some(bias) = bias {
                    sum = sum + s.load_partial(&bias[..sum_of]);
                }
                let column = block.column + columns.start;
                let out = block.row(row, columns.clone());
                s.store_partial(then.apply(s, sum, column, out), out);
            }
        }
    }
}

/// The products of one row of numbers with four stored ones.
#[inline(always)]
fn dots<S: Simd, T: Storage>(s: S, x: &[f32], weights: [&[u8]; TOGETHER]) -> [f32; TOGETHER] {
    let mut sums = [s.zero(); TOGETHER];
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut vectors = [T::vectors(&[]); TOGETHER];
    for (vectors, w) in vectors.iter_mut().zip(weights) {
        *vectors = &T::vectors(w)[..whole.len()];
    }
    for (i, x) in whole.iter().enumerate() {
        let x = s.load(x);
        for (sum, w) in sums.iter_mut().zip(vectors) {
            *sum = s.fma(x, T::load(s, &w[i]), *sum);
        }
    }
    if !rest.is_empty() {
        let x = s.load_partial(rest);
        for (sum, w) in sums.iter_mut().zip(weights) {
            *sum = s.fma(x, T::load_partial(s, &w[whole.len() * LANES * T::SIZE..]), *sum);
        }
    }
    let mut out = [0.0; TOGETHER];
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = s.sum(sum);
    }
    out
}
