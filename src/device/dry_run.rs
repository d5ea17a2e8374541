//! What a device that only counts has seen of weights.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the matrices that models have asked for.
#[derive(Debug, Default)]
pub(crate) struct CountedWeights {
    bytes: AtomicU64,
    largest: AtomicU64,
}

impl CountedWeights {
    /// Counts a matrix that the device itself multiplies with, or else the processor beside it (`on_host`).
    pub fn count(&self, bytes: u64, on_host: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !on_host {
            self.largest.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes of all matrices so far, and of the largest since the last call.
    pub fn seen(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.largest.swap(0, Ordering::Relaxed))
    }
}
