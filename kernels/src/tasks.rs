//! How the memory-bound kernels divide their work.

use rayon::prelude::*;

use crate::Exec;

/// Numbers of one task: enough to pay for handing it out, few enough to stay near a core. It depends on nothing, least of
/// all on the number of threads.
pub(crate) const TASK: usize = 16 * 1024;

/// As many whole rows of `width` as one task should have, in numbers.
pub(crate) fn rows_of_a_task(width: usize) -> usize {
    width * (TASK / width.max(1)).max(1)
}

/// Cuts `out` into pieces and runs `task(start, piece)` for each on the threads of the current rayon pool.
pub(crate) fn pieces(exec: Exec, out: &mut [f32], piece: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    if out.is_empty() {
        return;
    }
    if out.len() <= piece {
        // Work for one thread stays on the caller's.
        return task(0, out);
    }
    out.par_chunks_mut(piece).enumerate().for_each(|(i, out)| {
        if !exec.stopped() {
            task(i * piece, out);
        }
    });
}
