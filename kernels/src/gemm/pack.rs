//! Packing: what a tile reads in one sweep is brought together in that order, widened on the way.

use super::tile::{self, MR, NR};
use crate::simd::Simd;
use crate::stored::Storage;

/// Numbers past the end of a left panel that [`left`] may overwrite.
pub(crate) const SLACK: usize = 8 - MR;

/// Turns six rows of equal length `k` into `[k][6]` at the start of `panel`; up to [`SLACK`] numbers after it are
/// overwritten, so panels are packed in the order in which they lie.
#[inline(always)]
pub(crate) fn left<S: Simd>(s: S, rows: [&[f32]; MR], panel: &mut [f32]) {
    let k = rows[0].len();
    let panel = &mut panel[..k * MR + SLACK];
    let whole = k / 8;
    for i in 0..whole {
        let zero = s.zero();
        let mut block = [zero; 8];
        for (b, row) in block.iter_mut().zip(&rows) {
            *b = s.load(&row[..k].as_chunks().0[i]);
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
    let row = |i: usize| if i < rows { &bytes[i * stride..i * stride + k * T::SIZE] } else { &[] };
    for half in [0, 8] {
        let mut halves = [&bytes[..0]; 8];
        for (i, half_row) in halves.iter_mut().enumerate() {
            *half_row = row(half + i);
        }
        let mut done = 0;
        if half + 8 <= rows {
            let mut eights = [T::eights(&[]); 8];
            for (eights, row) in eights.iter_mut().zip(halves) {
                *eights = &T::eights(row)[..k / 8];
            }
            for i in 0..k / 8 {
                let mut block = [s.zero(); 8];
                for (b, eights) in block.iter_mut().zip(eights) {
                    *b = T::load(s, &eights[i]);
                }
                for (j, v) in s.transpose(block).into_iter().enumerate() {
                    if let Some(p) = place(i * 8 + j) {
                        s.store(v, tile::halves_mut(&mut panel[p])[half / 8]);
                    }
                }
            }
            done = k / 8 * 8;
        }
        for start in (done..k).step_by(8) {
            let end = k.min(start + 8);
            let mut block = [s.zero(); 8];
            for (b, row) in block.iter_mut().zip(halves).take(rows.saturating_sub(half)) {
                *b = T::load_partial(s, &row[start * T::SIZE..end * T::SIZE]);
            }
            for (j, v) in s.transpose(block).into_iter().enumerate().take(end - start) {
                if let Some(p) = place(start + j) {
                    s.store(v, tile::halves_mut(&mut panel[p])[half / 8]);
                }
            }
        }
    }
}
