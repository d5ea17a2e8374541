//! Each thread's working memory, kept between tasks.

use std::cell::{Cell, RefCell};

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SHARED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// The bytes that a thread keeps once a task has asked for `numbers` numbers.
pub(crate) fn bytes(numbers: usize) -> usize {
    (numbers + LINE) * size_of::<f32>()
}

/// The bytes that this thread keeps.
#[cfg(test)]
pub(crate) fn kept() -> usize {
    SCRATCH.with_borrow(|scratch| scratch.capacity() * size_of::<f32>())
}

/// Lends `task` that many numbers of unspecified content, aligned to a cache line; `task` must not call this itself.
pub(crate) fn with<R>(numbers: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if let Some(more) = (numbers + LINE).checked_sub(scratch.len()) {
            scratch.reserve_exact(more);
            scratch.resize(numbers + LINE, 0.0);
        }
        // An alignment that cannot be had would cost speed alone.
        let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        task(&mut scratch[start..start + numbers])
    })
}

/// Lends `call` that many numbers of unspecified content, aligned to a cache line, for all tasks that it starts.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exec, numbers};
    use crate::{
        Activation, Attention, AttentionBias, Conv3d, Exec, Level, Stored, attention, conv3d, linear, linear_scratch,
    };

    /// The bytes that a thread keeps that has run nothing but this.
    fn kept_after(run: impl Fn(Exec) + Sync) -> usize {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let level = *Level::available().last().unwrap();
        pool.install(|| {
            run(exec(level));
            kept()
        })
    }

    #[test]
    fn a_thread_keeps_what_was_stated() {
        for [rows, k, n] in [[3, 64, 65], [5, 7, 30], [200, 33, 31], [600, 70, 3], [390, 300, 40], [9, 0, 4], [0, 7, 9]]
        {
            let (x, w) = (numbers(1, rows * k), numbers(2, n * k));
            let run = |exec: Exec| {
                let mut out = vec![0.0; rows * n];
                linear(exec, &x, Stored::from(&w[..]), rows, k, n, None, Activation::None, &mut out);
            };
            let (kept, stated) = (kept_after(run), linear_scratch(rows, k, n));
            assert!(kept <= stated && stated <= 2 * kept, "{kept} bytes, {stated} stated: linear {rows} {k} {n}");
        }
        for (pad_front, kernel, channels) in
            [(0, [3; 3], [40, 7]), (2, [3; 3], [40, 7]), (2, [3, 1, 1], [9, 70]), (0, [1; 3], [5, 3])]
        {
            let s = Conv3d {
                frames: 3,
                height: 9,
                width: 11,
                in_channels: channels[0],
                out_channels: channels[1],
                kernel,
                stride: [1; 3],
                tail_frames: 0,
                pad_front,
                pad: [1; 4],
            };
            let (x, w) = (numbers(1, 3 * 9 * 11 * channels[0]), numbers(2, channels[0] * channels[1] * s.taps()));
            let run = |exec: Exec| {
                let mut out = vec![0.0; s.output().iter().product::<usize>() * channels[1]];
                conv3d(exec, &s, &x, &[], Stored::from(&w[..]), None, crate::Onto::Nothing, &mut out);
            };
            let kept = kept_after(run);
            assert!(kept > 0 && kept <= s.scratch(), "{kept} bytes, {} stated: {s:?}", s.scratch());
        }
        for (heads, head_dim, queries, keys) in [(1, 24, 5, 7), (2, 10, 300, 400), (3, 128, 70, 500), (1, 3, 0, 4)] {
            let width = heads * head_dim;
            let s = Attention {
                heads,
                head_dim,
                queries,
                keys,
                q_stride: width,
                kv_stride: width,
                out_stride: width,
                scale: 1.0,
            };
            let (q, k) = (numbers(1, queries * width), numbers(2, keys * width));
            let run = |exec: Exec| {
                let mut out = vec![0.0; queries * width];
                attention(exec, &s, &q, &k, &k, AttentionBias::None, &mut out);
            };
            assert_eq!(kept_after(run), s.scratch(), "{s:?}");
        }
    }
}
