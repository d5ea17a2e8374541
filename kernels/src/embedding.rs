//! Rows of a table.

use crate::tasks::{pieces, rows_of_a_task};
use crate::{Exec, Stored};

/// Copies row `id` of `table` `[vocab, width]` to out `[ids, width]` for each of `ids`, widened.
pub fn embedding(exec: Exec, table: Stored<'_>, width: usize, ids: &[u32], out: &mut [f32]) {
    assert!(width > 0 && out.len() == ids.len() * width, "{} rows of {width}", ids.len());
    assert!(table.len().is_multiple_of(width), "{} numbers in rows of {width}", table.len());
    pieces(exec, out, rows_of_a_task(width), |at, out| {
        for (row, &id) in out.chunks_exact_mut(width).zip(&ids[at / width..]) {
            let start = id as usize * width;
            table.widen(start..start + width, row);
        }
    });
}
