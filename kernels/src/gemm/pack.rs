//! Packing: what a tile reads in one sweep is brought together in that order, widened on the way.

use std::ops::Range;

use crate::simd::{LANES, Simd};
use crate::stored::Storage;

/// Writes `run` as terms `at..` of row `row` into a left panel `[terms / 16][rows][16]`.
#[inline(always)]
pub(crate) fn left<S: Simd>(s: S, run: &[f32], rows: usize, row: usize, at: usize, panel: &mut [f32]) {
    let (lines, _) = panel.as_chunks_mut::<LANES>();
    let (chunk, inside) = (at / LANES, at % LANES);
    // What a chunk has room for before whole ones begin.
    let (start, run) = run.split_at(run.len().min((LANES - inside) % LANES));
    if !start.is_empty() {
        lines[chunk * rows + row][inside..inside + start.len()].copy_from_slice(start);
    }
    let (whole, rest) = run.as_chunks::<LANES>();
    let mut line = at.div_ceil(LANES) * rows + row;
    for numbers in whole {
        s.store(s.load(numbers), &mut lines[line]);
        line += rows;
    }
    if !rest.is_empty() {
        s.store_partial(s.load_partial(rest), &mut lines[line][..rest.len()]);
    }
}

/// Fills a left panel of `rows` rows with zeros from term `terms` to the end of its chunk.
#[inline(always)]
pub(crate) fn left_end(rows: usize, terms: usize, panel: &mut [f32]) {
    let inside = terms % LANES;
    if inside > 0 {
        for line in panel.as_chunks_mut::<LANES>().0[terms / LANES * rows..].iter_mut().take(rows) {
            line[inside..].fill(0.0);
        }
    }
}

/// Where the cache lines of stored rows of `length` bytes, `stride` apart, begin.
#[inline(always)]
pub(crate) fn lines(stride: usize, rows: Range<usize>, length: usize) -> impl ExactSizeIterator<Item = usize> {
    const LINE: usize = 64;
    let each = length.div_ceil(LINE).max(1);
    (0..rows.len() * each).map(move |i| (rows.start + i / each) * stride + i % each * LINE)
}

/// Transposes up to a tile's columns of stored rows of `k` numbers to `[..][columns]`: number `p` of each goes to row
/// `place(p)` of `panel`, or nowhere. The rows are `stride` bytes apart, the first begins at `bytes`' start; columns
/// without a row become zero.
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
    right_of::<S, T>(s, S::TILE[1], bytes, stride, rows, k, place, panel);
}

/// [`right`] for a tile of `vectors` vectors.
#[inline(always)]
pub(crate) fn right_of<S: Simd, T: Storage>(
    s: S,
    vectors: usize,
    bytes: &[u8],
    stride: usize,
    rows: usize,
    k: usize,
    place: impl Fn(usize) -> Option<usize>,
    panel: &mut [f32],
) {
    let (panel, _) = panel.as_chunks_mut::<LANES>();
    for vector in 0..vectors {
        let here = rows.saturating_sub(vector * LANES).min(LANES);
        let mut lines = [&bytes[..0]; LANES];
        for (i, line) in lines.iter_mut().enumerate().take(here) {
            *line = &bytes[(vector * LANES + i) * stride..][..k * T::SIZE];
        }
        let mut done = 0;
        if here == LANES {
            let mut whole = [T::vectors(&[]); LANES];
            for (whole, line) in whole.iter_mut().zip(lines) {
                *whole = &T::vectors(line)[..k / LANES];
            }
            for i in 0..k / LANES {
                let mut block = [s.zero(); LANES];
                for (b, whole) in block.iter_mut().zip(whole) {
                    *b = T::load(s, &whole[i]);
                }
                for (j, v) in s.transpose(block).into_iter().enumerate() {
                    if let Some(p) = place(i * LANES + j) {
                        s.store(v, &mut panel[p * vectors + vector]);
                    }
                }
            }
            done = k / LANES * LANES;
        }
        for start in (done..k).step_by(LANES) {
            let end = k.min(start + LANES);
            let mut block = [s.zero(); LANES];
            for (b, line) in block.iter_mut().zip(lines).take(here) {
                *b = T::load_partial(s, &line[start * T::SIZE..end * T::SIZE]);
            }
            for (j, v) in s.transpose(block).into_iter().enumerate().take(end - start) {
                if let Some(p) = place(start + j) {
                    s.store(v, &mut panel[p * vectors + vector]);
                }
            }
        }
    }
}
