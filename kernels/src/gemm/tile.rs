//! The register tile: six rows by sixteen columns of the product, kept in twelve vectors.

use crate::simd::Simd;

/// Rows of a tile.
pub(crate) const MR: usize = 6;
/// Columns of a tile.
pub(crate) const NR: usize = 16;

/// The tile's sums, row by row in halves of eight columns.
pub(crate) type Tile<V> = [[V; 2]; MR];

/// The product of two packed panels, `a: [k][6]` and `b: [k][16]`.
#[inline(always)]
pub(crate) fn product<S: Simd>(s: S, a: &[f32], b: &[f32]) -> Tile<S::V> {
    let mut sums = [[s.zero(); 2]; MR];
    let (a, b) = (a.as_chunks::<MR>().0, b.as_chunks::<NR>().0);
    if S::WHOLE_TILE {
        for (a, b) in a.iter().zip(b) {
            let [b0, b1] = halves(b);
            let (b0, b1) = (s.load(b0), s.load(b1));
            for (sum, &a) in sums.iter_mut().zip(a) {
                let a = s.splat(a);
                sum[0] = s.fma(a, b0, sum[0]);
                sum[1] = s.fma(a, b1, sum[1]);
            }
        }
    } else {
        for half in 0..2 {
            let mut column = [s.zero(); MR];
            for (a, b) in a.iter().zip(b) {
                let b = s.load(halves(b)[half]);
                for (sum, &a) in column.iter_mut().zip(a) {
                    *sum = s.fma(s.splat(a), b, *sum);
                }
            }
            for (sums, sum) in sums.iter_mut().zip(column) {
                sums[half] = sum;
            }
        }
    }
    sums
}

/// The two vectors of a tile's row.
#[inline(always)]
pub(crate) fn halves(row: &[f32; NR]) -> [&[f32; 8]; 2] {
    let (halves, _) = row.as_chunks::<8>();
    [&halves[0], &halves[1]]
}

/// The two vectors of a tile's row, to be written.
#[inline(always)]
pub(crate) fn halves_mut(row: &mut [f32; NR]) -> [&mut [f32; 8]; 2] {
    let ([a, b], _) = row.as_chunks_mut::<8>() else { unreachable!("sixteen are twice eight") };
    [a, b]
}
