//! Rotary position embedding (Su et al., 2021).

use crate::Exec;
use crate::simd::{Kernel, LANES, Simd};
use crate::tasks::{pieces, rows_of_a_task};

/// Rotates the pairs (2i, 2i + 1) of every head by the angle of table entry i.
///
/// `x` is `[rows, heads * head_dim]`, `cos` and `sin` are `[table rows, head_dim / 2]`. Row r takes table row
/// r mod table rows, so guidance's branches may be stacked.
pub fn rope(exec: Exec, x: &mut [f32], heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) {
    let (half, width) = (head_dim / 2, heads * head_dim);
    assert!(half > 0 && heads > 0 && head_dim.is_multiple_of(2), "{heads} heads of {head_dim}");
    assert!(x.len().is_multiple_of(width), "{} numbers in rows of {width}", x.len());
    assert!(cos.len() == sin.len() && cos.len().is_multiple_of(half), "tables {} and {} long", cos.len(), sin.len());
    let (rows, table_rows) = (x.len() / width, cos.len() / half);
    assert!(rows == 0 || (table_rows > 0 && rows.is_multiple_of(table_rows)), "{rows} rows, {table_rows} in the table");
    pieces(exec, x, rows_of_a_task(width), |at, x| {
        for (r, row) in x.chunks_exact_mut(width).enumerate() {
            let entry = (at / width + r) % table_rows * half;
            exec.run(Rotate { row, head_dim, cos: &cos[entry..][..half], sin: &sin[entry..][..half] });
        }
    });
}

/// Table entries that are spread at a time.
const ENTRIES: usize = 64;

struct Rotate<'a> {
    row: &'a mut [f32],
    head_dim: usize,
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Spread once for all heads of the row: cos cos for each pair, and -sin sin.
        let (mut cosines, mut sines) = ([0.0; 2 * ENTRIES], [0.0; 2 * ENTRIES]);
        for (block, (cos, sin)) in self.cos.chunks(ENTRIES).zip(self.sin.chunks(ENTRIES)).enumerate() {
            for (i, (&c, &s)) in cos.iter().zip(sin).enumerate() {
                (cosines[2 * i], cosines[2 * i + 1]) = (c, c);
                (sines[2 * i], sines[2 * i + 1]) = (-s, s);
            }
            for head in self.row.chunks_exact_mut(self.head_dim) {
                let pairs = &mut head[2 * ENTRIES * block..][..2 * cos.len()];
                let (vectors, rest) = pairs.as_chunks_mut::<LANES>();
                let at = vectors.len();
                let ((cosines, _), (sines, _)) = (cosines.as_chunks::<LANES>(), sines.as_chunks::<LANES>());
                for ((vector, c), sn) in vectors.iter_mut().zip(cosines).zip(sines) {
                    let v = rotated(s, s.load(vector), s.load(c), s.load(sn));
                    s.store(v, vector);
                }
                if !rest.is_empty() {
                    let v = rotated(s, s.load_partial(rest), s.load(&cosines[at]), s.load(&sines[at]));
                    s.store_partial(v, rest);
                }
            }
        }
    }
}

/// `(a, b)` to `(a cos - b sin, b cos + a sin)` for eight pairs.
#[inline(always)]
fn rotated<S: Simd>(s: S, x: S::V, cos: S::V, sin: S::V) -> S::V {
    s.fma(x, cos, s.swap_pairs(x) * sin)
}
