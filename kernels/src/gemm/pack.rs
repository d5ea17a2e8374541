//! Packing: what a tile reads in one sweep is brought together in that order, widened on the way.

use super::tile::{MR, NR};
use crate::simd::Simd;
use crate::stored::Storage;

/// Numbers past the end of a left panel that [`left`] may overwrite.
pub(crate) const SLACK: usize = 8 - MR;

/// Turns six rows of equal length `k` into `[k][6]` at the start of `panel`; up to [`SLACK`] numbers after it are
/// overwritten, so panels are packed in the order in which they lie.
#[inline(always)]
pub(crate) fn left<S: Simd>(s: S, rows: [&[f32]; MR], panel: &mut [f32]) {
    let k = rows[0].len();
    let rows = rows.map(|r| &r[..k]);
    let panel = &mut panel[..k * MR + SLACK];
    let whole = k / 8;
    for i in 0..whole {
        let zero = s.zero();
        let mut block = [zero; 8];
        for (b, row) in block.iter_mut().zip(&rows) {
            *b = s.load(&row.as_chunks().0[i]);
        }
        // Eight lanes are stored and six are meant: each store overwrites the two that its forerunner left over.
        let out: &mut [f32; 8 * MR + SLACK] = panel[i * 8 * MR..].first_chunk_mut().expect("length checked above");
        for (j, v) in s.transpose(block).into_iter().enumerate() {
            s.store(v, out[j * MR..].first_chunk_mut().expect("eight of the last six and two"));
        }
    }
    for (j, out) in panel[whole * 8 * MR..k * MR].as_chunks_mut::<MR>().0.iter_mut().enumerate() {
        for (x, row) in out.iter_mut().zip(&rows) {
            *x = row[whole * 8 + j];
        }
    }
}

/// Turns up to sixteen stored rows of `k` numbers into `[..][16]`: number `p` of each goes to row `place(p)` of `panel`,
/// or nowhere. The rows are `stride` bytes apart, the first begins at `bytes`' start; columns without a row become zero.
#[inline(always)]
pub(crate) fn right<S: Simd, T: Storage>(
    s: S,
    bytes: &[u8],
    stride: usize,
    rows: usize,
    k: usize,
    place: impl Fn(usize) -> Option<usize>,
    panel: &mut [f32],
) {
    let (panel, _) = panel.as_chunks_mut::<NR>();
    for half in 0..2 {
        let rows: [&[u8]; 8] = std::array::from_fn(|i| {
            let row = half * 8 + i;
            if row < rows { &bytes[row * stride..row * stride + k * T::SIZE] } else { &[] }
        });
        let full = rows[7].len() == k * T::SIZE;
        let whole = k / 8;
        for i in 0..k.div_ceil(8) {
            let span = i * 8 * T::SIZE..k.min(i * 8 + 8) * T::SIZE;
            let mut block = [s.zero(); 8];
            for (b, row) in block.iter_mut().zip(&rows) {
                *b = if full && i < whole {
                    T::load(s, &row[i * 8 * T::SIZE..])
                } else if row.is_empty() {
                    s.zero()
                } else {
                    T::load_partial(s, &row[span.clone()])
                };
            }
            let block = s.transpose(block);
            for (j, v) in block.into_iter().enumerate().take(k - i * 8) {
                if let Some(p) = place(i * 8 + j) {
                    s.store(v, panel[p][half * 8..].first_chunk_mut().expect("half of a row"));
                }
            }
        }
    }
}
