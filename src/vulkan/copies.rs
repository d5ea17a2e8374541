//! Copies of weights on a device, and which of them to evict: data, without the handle.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::layout::GpuLayout;
use super::memory::Block;
use crate::device::pool::Pool;
use crate::weights::slot::Slot;

/// A weight's bytes on a GPU; freed with the last clone of the weight, or evicted for want of memory.
pub(super) struct WeightCopy {
    pub block: Block,
    pub layout: GpuLayout,
    pub bytes: u64,
    /// When it was last used, counted in uses.
    used: AtomicU64,
    /// The submission that used it last.
    submission: AtomicU64,
    /// The pool whose budget covers it: that of the device that made it.
    pool: Arc<Pool<Block>>,
}

impl WeightCopy {
    /// A copy in `block`, whose `bytes` the pool has reserved: they are given back when it is dropped.
    pub fn new(block: Block, layout: GpuLayout, bytes: u64, used: u64, pool: Arc<Pool<Block>>) -> Self {
        Self { block, layout, bytes, used: used.into(), submission: AtomicU64::new(0), pool }
    }

    /// What a slot holds as a copy, if the device of this pool made it.
    pub fn of(held: Arc<dyn Any + Send + Sync>, pool: &Arc<Pool<Block>>) -> Option<Arc<Self>> {
        held.downcast::<Self>().ok().filter(|copy| Arc::ptr_eq(&copy.pool, pool))
    }

    /// Notes a use.
    pub fn touch(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// Notes that a submission uses it.
    pub fn mark(&self, submission: u64) {
        self.submission.fetch_max(submission, Ordering::Relaxed);
    }
}

impl Drop for WeightCopy {
    fn drop(&mut self) {
        self.pool.unreserve(self.bytes);
    }
}

/// The weights that have a copy.
#[derive(Default)]
pub(super) struct Residents {
    slots: Mutex<Vec<Weak<Slot>>>,
    /// Uses of weights so far.
    uses: AtomicU64,
}

impl Residents {
    /// The number of the next use.
    pub fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a slot that holds a copy now.
    pub fn add(&self, slot: &Arc<Slot>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(slot));
    }

    /// Evicts copies of about `share` bytes; returns the bytes that were freed, and the last submission that uses one of them.
    ///
    /// A model's matrices are used in turn, so that those used longest ago are needed soonest. What goes are those used
    /// last, but for the very last, with which the device is still at work: most of what was there stays for the next step.
    pub fn evict(&self, pool: &Arc<Pool<Block>>, share: u64) -> (u64, u64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copies: Vec<(u64, u64, Arc<Slot>)> = Vec::new();
        for slot in slots.iter().filter_map(Weak::upgrade) {
            // A slot that is locked is being filled or read.
            let found = slot.try_lock().ok().and_then(|held| {
                let copy = held.as_ref()?;
                // A copy that somebody holds is about to be used.
                let unused = Arc::strong_count(copy) == 1;
                let copy = copy.downcast_ref::<WeightCopy>().filter(|copy| unused && Arc::ptr_eq(&copy.pool, pool))?;
                Some((copy.used.load(Ordering::Relaxed), copy.bytes))
            });
            if let Some((used, bytes)) = found {
                copies.push((used, bytes, slot));
            }
        }
        copies.sort_by_key(|&(used, ..)| std::cmp::Reverse(used));
        let mut newest = 0;
        let window = copies.iter().take_while(|(_, bytes, _)| {
            newest += bytes;
            newest <= share
        });
        let (window, rest) = copies.split_at(window.count());
        let (mut freed, mut submission) = (0, 0);
        for (_, bytes, slot) in rest.iter().chain(window.iter().rev()) {
            if freed >= share {
                break;
            }
            let evicted = slot.try_lock().ok().and_then(|mut held| {
                held.take_if(|copy| {
                    let unused = Arc::strong_count(copy) == 1;
                    copy.downcast_ref::<WeightCopy>().is_some_and(|copy| unused && Arc::ptr_eq(&copy.pool, pool))
                })
            });
            if let Some(copy) = evicted.and_then(|copy| copy.downcast::<WeightCopy>().ok()) {
                freed += bytes;
                submission = submission.max(copy.submission.load(Ordering::Relaxed));
            }
        }
        slots.retain(|slot| slot.upgrade().is_some_and(|slot| slot.try_lock().map_or(true, |held| held.is_some())));
        (freed, submission)
    }
}
