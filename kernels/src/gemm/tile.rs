//! The register tile: a few rows by one or two vectors of columns of the product, kept in registers while the terms of
//! the sum pass by.

use std::ops::Range;

use crate::arch::blocks::Block;
use crate::simd::{Kernel, LANES, MOST_ROWS, MOST_VECTORS, Simd};

/// Rows of a tile at any level; a multiple of every level's.
pub(crate) const MR: usize = MOST_ROWS;
/// Columns of a tile at any level; a multiple of every level's.
pub(crate) const NR: usize = MOST_VECTORS * LANES;

/// Where a tile goes.
pub(crate) trait Rows {
    /// Vector `j` of row `i`: sixteen numbers, or those that there are at the product's edge.
    fn vector(&mut self, i: usize, j: usize) -> &mut [f32];
}

/// Part of a block of the product.
pub(crate) struct Part<'a, 'b> {
    pub(crate) block: &'a mut Block<'b>,
    pub(crate) row: usize,
    pub(crate) columns: Range<usize>,
}

impl Rows for Part<'_, '_> {
    #[inline(always)]
    fn vector(&mut self, i: usize, j: usize) -> &mut [f32] {
        let start = self.columns.end.min(self.columns.start + j * LANES);
        self.block.row(self.row + i, start..self.columns.end.min(start + LANES))
    }
}

/// Vectors that lie one after another, those of a row so far apart.
pub(crate) struct Lines<'a> {
    pub(crate) lines: &'a mut [[f32; LANES]],
    /// Vectors from one row to the next, and from one of a row to its next.
    pub(crate) strides: [usize; 2],
}

impl Rows for Lines<'_> {
    #[inline(always)]
    fn vector(&mut self, i: usize, j: usize) -> &mut [f32] {
        &mut self.lines[i * self.strides[0] + j * self.strides[1]]
    }
}

/// What is done with a tile's sums.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// They replace what was there.
    Set,
    /// They are added to it.
    Add,
    /// They are added to it, each column times its factor.
    AddTimes(&'a [f32]),
}

/// The product of two packed panels.
pub(crate) struct Tile<'a, R> {
    /// Rows, at most [`Simd::TILE`]'s.
    pub(crate) rows: usize,
    /// `[terms / 16][rows][16]`.
    pub(crate) left: &'a [f32],
    /// `[terms][columns]`.
    pub(crate) right: &'a [f32],
    /// `[columns]`: what the sums begin with, if not with zero; at the product's edge it may be shorter.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) then: Then<'a>,
    pub(crate) out: R,
}

impl<R: Rows> Tile<'_, R> {
    /// Computes it, as wide as the level's tiles.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(self, s: S) {
        self.run_of(s, S::TILE[1]);
    }

    /// Computes it, `vectors` vectors wide.
    #[inline(always)]
    pub(crate) fn run_of<S: Simd>(self, s: S, vectors: usize) {
        match vectors {
            1 => self.of_vectors::<S, 1>(s),
            2 if S::TILE[1] == 2 => self.of_vectors::<S, 2>(s),
            vectors => unreachable!("tiles of {vectors} vectors"),
        }
    }

    #[inline(always)]
    fn of_vectors<S: Simd, const N: usize>(self, s: S) {
        match self.rows {
            1 => s.call(Sized::<R, 1, N>(self)),
            2 => s.call(Sized::<R, 2, N>(self)),
            3 => s.call(Sized::<R, 3, N>(self)),
            4 => s.call(Sized::<R, 4, N>(self)),
            5 => s.call(Sized::<R, 5, N>(self)),
            6 => s.call(Sized::<R, 6, N>(self)),
            rows if rows <= S::TILE[0] => match rows {
                7 => s.call(Sized::<R, 7, N>(self)),
                8 => s.call(Sized::<R, 8, N>(self)),
                9 => s.call(Sized::<R, 9, N>(self)),
                10 => s.call(Sized::<R, 10, N>(self)),
                11 => s.call(Sized::<R, 11, N>(self)),
                12 => s.call(Sized::<R, 12, N>(self)),
                rows => unreachable!("a tile of {rows} rows"),
            },
            rows => unreachable!("a tile of {rows} rows"),
        }
    }
}

/// A tile of a size that the compiler knows.
struct Sized<'a, R, const M: usize, const N: usize>(Tile<'a, R>);

impl<R: Rows, const M: usize, const N: usize> Kernel for Sized<'_, R, M, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tile { left, right, bias, then, mut out, .. } = self.0;
        let left = left.as_chunks::<LANES>().0.as_chunks::<M>().0;
        let right = right.as_chunks::<LANES>().0.as_chunks::<N>().0.as_chunks::<LANES>().0;
        for i in 0..M {
            // The sums so far come from afar: ask before the tile is worked out.
            for j in 0..N {
                s.prefetch(out.vector(i, j), 0);
            }
        }
        let (mut first, mut times) = ([s.zero(); N], [s.splat(1.0); N]);
        load_row(s, bias, &mut first);
        if let Then::AddTimes(factors) = then {
            load_row(s, Some(factors), &mut times);
        }
        let sums = s.multiply(left, right, [first; M]);
        for (i, sums) in sums.iter().enumerate() {
            for (j, (&sum, &times)) in sums.iter().zip(&times).enumerate() {
                let out = out.vector(i, j);
                match out.first_chunk_mut() {
                    Some(out) => s.store(combine(s, then, sum, times, s.load(out)), out),
                    None => s.store_partial(combine(s, then, sum, times, s.load_partial(out)), out),
                }
            }
        }
    }
}

/// A row of numbers, if there is one.
#[inline(always)]
fn load_row<S: Simd, const N: usize>(s: S, row: Option<&[f32]>, vectors: &mut [S::V; N]) {
    for (vector, numbers) in vectors.iter_mut().zip(row.unwrap_or_default().chunks(LANES)) {
        *vector = match numbers.first_chunk() {
            Some(numbers) => s.load(numbers),
            None => s.load_partial(numbers),
        };
    }
}

/// What is written of a sum over what was there.
#[inline(always)]
fn combine<S: Simd>(s: S, then: Then, sum: S::V, times: S::V, before: S::V) -> S::V {
    match then {
        Then::Set => sum,
        Then::Add => sum + before,
        Then::AddTimes(_) => s.fma(sum, times, before),
    }
}
