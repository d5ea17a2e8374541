//! Prefetch where the architecture has it.

/// Asks for the cache line of `x[at]`; a hint without effect on the program, whatever the address.
#[inline(always)]
pub(super) fn prefetch<T>(x: &[T], at: usize) {
    let address = x.as_ptr().wrapping_add(at);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of every x86-64, and prefetching faults at no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
