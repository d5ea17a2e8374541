//! Products of very few columns, such as a decoder's last convolution to RGB: the rows are read where they lie.
//!
//! The register tile would be mostly empty and packing the rows most of the work. Here the vectors run along the
//! channels instead, for a few rows and all columns at once: as many as there are registers for their sums.

use std::ops::Range;

use super::operands::{Left, Weights, ZEROS};
use crate::arch::blocks::{Block, Blocks};
use crate::simd::{Kernel, LANES, Simd};
use crate::{Exec, scratch};

/// The most columns for which this is the faster way.
pub(crate) const COLUMNS: usize = 4;
/// Rows per task: enough to pay for bringing the weight into order.
const ROWS: usize = 512;

/// The columns' weights of sixteen channels under one tap.
type Weight<const N: usize> = [[f32; LANES]; N];

/// Fills `out: [rows, n]` with the product and what follows it.
pub(super) fn product<L: Left>(exec: Exec, left: &L, rows: usize, weights: Weights, out: &mut [f32]) {
    let n = weights.n;
    Blocks::new(out, rows, n, n, [ROWS, n]).for_each(|block| {
        if exec.stopped() {
            return;
        }
        let taps: Vec<usize> =
            (0..left.taps()).filter(|&tap| left.touches(block.row..block.row + block.rows, tap)).collect();
        scratch::with(numbers(left.channels(), taps.len()), |memory| {
            if n == COLUMNS {
                order::<COLUMNS, L>(left, &taps, weights, memory);
                exec.run(Task::<COLUMNS, L> { exec, left, weights, taps: &taps, ordered: memory, block });
            } else {
                order::<3, L>(left, &taps, weights, memory);
                exec.run(Task::<3, L> { exec, left, weights, taps: &taps, ordered: memory, block });
            }
        });
    });
}

/// Numbers of a task's working memory.
pub(super) fn numbers(channels: usize, taps: usize) -> usize {
    taps * channels.next_multiple_of(LANES) * COLUMNS
}

/// Widens the weight into `[tap][channels / 16][column][16]`; what is not there is zero.
fn order<const N: usize, L: Left>(left: &L, taps: &[usize], weights: Weights, ordered: &mut [f32]) {
    let (channels, all_taps) = (left.channels(), left.taps());
    ordered.fill(0.0);
    let (vectors, _) = ordered.as_chunks_mut::<LANES>();
    let mut row = vec![0.0; channels * all_taps];
    for column in 0..weights.n {
        weights.w.widen(column * row.len()..(column + 1) * row.len(), &mut row);
        for (slot, &tap) in taps.iter().enumerate() {
            for channel in 0..channels {
                let vector = slot * channels.div_ceil(LANES) + channel / LANES;
                vectors[vector * N + column][channel % LANES] = row[channel * all_taps + tap];
            }
        }
    }
}

struct Task<'a, const N: usize, L: Left> {
    exec: Exec<'a>,
    left: &'a L,
    weights: Weights<'a>,
    /// The taps under which not all rows are zero.
    taps: &'a [usize],
    ordered: &'a [f32],
    block: Block<'a>,
}

impl<const N: usize, L: Left> Kernel for Task<'_, N, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match S::REGISTERS {
            32.. => self.rows::<S, 4>(s),
            8..32 => self.rows::<S, 2>(s),
            _ => self.rows::<S, 1>(s),
        }
    }
}

impl<const N: usize, L: Left> Task<'_, N, L> {
    /// The block, `R` rows at a time.
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(self, s: S) {
        let Self { exec, left, weights, taps, ordered, mut block } = self;
        let ordered = ordered.as_chunks::<LANES>().0.as_chunks::<N>().0;
        for row in (0..block.rows).step_by(R) {
            if exec.stopped() {
                return;
            }
            let rows = row..block.rows.min(row + R);
            let sums: [[f32; N]; R] = sums(s, left, block.row + rows.start..block.row + rows.end, taps, ordered);
            for (row, sums) in rows.zip(sums) {
                let mut sum = s.load_partial(&sums[..weights.n]);
                if let Some(bias) = weights.bias {
                    sum = sum + s.load_partial(bias);
                }
                let row = block.row(row, 0..weights.n);
                s.store_partial(weights.then.apply(s, sum, 0, row), row);
            }
        }
    }
}

/// Up to `R` rows of the product.
#[inline(always)]
fn sums<S: Simd, L: Left, const N: usize, const R: usize>(
    s: S,
    left: &L,
    rows: Range<usize>,
    taps: &[usize],
    ordered: &[Weight<N>],
) -> [[f32; N]; R] {
    let channels = left.channels();
    let mut places = [L::Place::default(); R];
    for (place, row) in places.iter_mut().zip(rows.clone()) {
        *place = left.place(row);
    }
    let mut sums = [[s.zero(); N]; R];
    let mut ordered = ordered.iter();
    for &tap in taps {
        // No run is longer than the zeros that may stand for it.
        for start in (0..channels).step_by(ZEROS.len()) {
            let run = start..channels.min(start + ZEROS.len());
            let mut runs = [&ZEROS[..run.len()]; R];
            for (numbers, place) in runs.iter_mut().zip(places).take(rows.len()) {
                *numbers = left.run(place, tap, run.clone());
            }
            let whole = run.len() / LANES;
            let mut vectors = [&ZEROS.as_chunks::<LANES>().0[..0]; R];
            for (vectors, run) in vectors.iter_mut().zip(runs) {
                *vectors = &run.as_chunks().0[..whole];
            }
            for (i, weight) in ordered.by_ref().take(run.len().div_ceil(LANES)).enumerate() {
                let mut x = [s.zero(); R];
                for ((x, vectors), run) in x.iter_mut().zip(vectors).zip(runs) {
                    *x = if i < whole { s.load(&vectors[i]) } else { s.load_partial(&run[whole * LANES..]) };
                }
                for (column, weight) in weight.iter().enumerate() {
                    let weight = s.load(weight);
                    for (sums, &x) in sums.iter_mut().zip(&x) {
                        sums[column] = s.fma(x, weight, sums[column]);
                    }
                }
            }
        }
    }
    let mut out = [[0.0; N]; R];
    for (out, sums) in out.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
        *out = s.sum(*sums);
    }
    out
}
