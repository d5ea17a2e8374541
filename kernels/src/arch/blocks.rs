//! Disjoint rectangles of one row-major slice, handed to the tasks that fill them.

use std::marker::PhantomData;

use rayon::prelude::*;

/// A matrix to be filled rectangle by rectangle.
pub(crate) struct Blocks<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    block: [usize; 2],
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, which may be sent and shared; only `for_each` makes references of it.
unsafe impl Sync for Blocks<'_> {}

/// One task's rectangle.
pub(crate) struct Block<'a> {
    start: *mut f32,
    stride: usize,
    /// The rectangle's place in the matrix.
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// Its size.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    slice: PhantomData<&'a mut [f32]>,
}

impl<'a> Blocks<'a> {
    /// Cuts `rows x columns` of `out`, whose rows begin `stride` apart, into rectangles of `block` (the last ones less).
    pub(crate) fn new(out: &'a mut [f32], rows: usize, columns: usize, stride: usize, block: [usize; 2]) -> Self {
        assert!(block[0] > 0 && block[1] > 0, "blocks of {block:?}");
        if rows > 0 && columns > 0 {
            let needed = (rows - 1).checked_mul(stride).and_then(|n| n.checked_add(columns));
            assert!(
                needed.is_some_and(|n| n <= out.len()) && (columns <= stride || rows == 1),
                "{rows} rows of {columns} numbers, {stride} apart, do not lie in {} numbers",
                out.len()
            );
        }
        Self { start: out.as_mut_ptr(), rows, columns, stride, block, slice: PhantomData }
    }

    /// Gives each rectangle to `task`, on the threads of the current rayon pool; down the columns first.
    pub(crate) fn for_each(self, task: impl Fn(Block<'_>) + Sync) {
        let tasks = self.rows.div_ceil(self.block[0]) * self.columns.div_ceil(self.block[1]);
        // SAFETY: each number below `tasks` comes once.
        let give = |i: usize| task(unsafe { self.rectangle(i) });
        if tasks == 1 {
            // Work for one thread stays on the caller's.
            give(0);
        } else {
            // One by one: left to itself rayon hands out runs of tasks, and whoever is done first cannot help with a run.
            (0..tasks).into_par_iter().with_max_len(1).for_each(give);
        }
    }

    /// The `i`th rectangle.
    ///
    /// # Safety
    ///
    /// `i` is below the number of rectangles, and no other block of the same number lives.
    unsafe fn rectangle(&self, i: usize) -> Block<'_> {
        let tall = self.rows.div_ceil(self.block[0]);
        let (row, column) = (i % tall * self.block[0], i / tall * self.block[1]);
        Block {
            // SAFETY: `new` checked that every row's columns lie in the slice, and this is one of them.
            start: unsafe { self.start.add(row * self.stride + column) },
            stride: self.stride,
            row,
            column,
            rows: self.block[0].min(self.rows - row),
            columns: self.block[1].min(self.columns - column),
            slice: PhantomData,
        }
    }
}

impl Block<'_> {
    /// Columns of one row, counted within the rectangle.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize, columns: std::ops::Range<usize>) -> &mut [f32] {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.columns);
        // SAFETY: the range lies in the rectangle (asserted), the rectangle in the slice (`Blocks::new`); rectangles
        // do not meet since rows are no longer than their distance, each is given out once, and `&mut self` keeps a
        // rectangle's own rows apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride + columns.start), columns.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_given_out_once() {
        for (rows, columns, stride, block) in
            [(7, 10, 13, [3, 4]), (1, 5, 2, [1, 2]), (0, 4, 4, [1, 1]), (4, 4, 4, [9, 9])]
        {
            let mut out = vec![0.0; 7 * 13];
            Blocks::new(&mut out, rows, columns, stride, block).for_each(|mut b| {
                for r in 0..b.rows {
                    let (row, column) = (b.row + r, b.column);
                    for (c, x) in b.row(r, 0..b.columns).iter_mut().enumerate() {
                        *x += (row * 100 + column + c + 1) as f32;
                    }
                }
            });
            let mut want = vec![0.0; 7 * 13];
            for r in 0..rows {
                for c in 0..columns {
                    want[r * stride + c] = (r * 100 + c + 1) as f32;
                }
            }
            assert_eq!(out, want);
        }
    }

    #[test]
    #[should_panic(expected = "do not lie in")]
    fn a_slice_too_short_is_refused() {
        Blocks::new(&mut [0.0; 11], 3, 4, 4, [1, 1]);
    }

    #[test]
    #[should_panic(expected = "do not lie in")]
    fn rows_that_overlap_are_refused() {
        Blocks::new(&mut [0.0; 40], 3, 5, 4, [1, 1]);
    }
}
