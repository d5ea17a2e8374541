//! Each thread's working memory, kept between tasks.

use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// Lends `task` this many numbers of unspecified content that begin on a cache line; it must not ask for more itself.
pub(crate) fn with<R>(numbers: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < numbers + LINE {
            scratch.resize(numbers + LINE, 0.0);
        }
        // An alignment that cannot be had would cost speed alone.
        let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        task(&mut scratch[start..start + numbers])
    })
}
