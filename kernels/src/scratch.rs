//! Each thread's working memory, kept between tasks.

use std::cell::{Cell, RefCell};

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SHARED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
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

/// Lends `call` this many numbers of unspecified content that begin on a cache line, for all tasks that it hands out.
pub(crate) fn shared<R>(numbers: usize, call: impl FnOnce(&mut [f32]) -> R) -> R {
    // Taken out meanwhile: this thread may run a task of another call, which then begins with none.
    let mut memory = SHARED.take();
    if memory.len() < numbers + LINE {
        memory.resize(numbers + LINE, 0.0);
    }
    let start = memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = call(&mut memory[start..start + numbers]);
    SHARED.set(memory);
    result
}
