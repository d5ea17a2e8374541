//! Buffers that are used again: ownership is the memory plan, the pool only keeps what was given back.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;
use wide::f32x16;

use crate::error::{Error, Result};

/// Sixteen floats on a cache line: blocks are made of these, so that every buffer starts aligned.
pub(crate) type Line = f32x16;

const LINE: usize = size_of::<Line>() / size_of::<f32>();
const LINE_BYTES: u64 = size_of::<Line>() as u64;

/// Smaller blocks are left to the allocator: keeping them would not pay for the search.
const MIN_KEPT_BYTES: u64 = 16 << 10;

/// Blocks from this size on are mappings of their own: an allocator may keep holes of their size, and large pages do not
/// fit into smaller ones.
const MIN_MAPPED_BYTES: u64 = 4 << 20;

/// What kept blocks may add to the peak, at most: a decoder goes through the sizes of all its levels for every few
/// frames, and pages that were given back come again as zeros that the system has to write first.
const SPARE_BYTES: u64 = 32 << 20;

/// What a pool holds and has held, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes in buffers that somebody owns.
    pub live: u64,
    /// Bytes in buffers that were given back and are kept for the next request.
    pub kept: u64,
    /// The most that `live` has been.
    pub high_water: u64,
    /// The most that `live` has been since unused buffers were last released, which a pipeline does after every stage.
    pub peak: u64,
    /// Requests that were served by a kept buffer.
    pub hits: u64,
    /// Requests that went to the system.
    pub misses: u64,
}

/// A buffer of a pool.
#[derive(Debug)]
pub(crate) enum Block {
    /// Memory.
    Real(Vec<Line>),
    /// Memory of its own pages.
    Mapped(MmapMut),
    /// So many lines without memory: a pool that only counts hands these out.
    Counted(usize),
}

/// What a pool can hold.
pub(crate) trait Held {
    /// Its size.
    fn bytes(&self) -> u64;
}

impl Held for Block {
    fn bytes(&self) -> u64 {
        match self {
            Self::Real(lines) => lines.len() as u64 * LINE_BYTES,
            Self::Mapped(bytes) => bytes.len() as u64,
            Self::Counted(lines) => *lines as u64 * LINE_BYTES,
        }
    }
}

impl Block {
    /// The numbers, if there are any.
    pub fn numbers(&self) -> Option<&[f32]> {
        match self {
            Self::Real(lines) => Some(bytemuck::cast_slice(lines)),
            Self::Mapped(bytes) => Some(bytemuck::cast_slice(bytes)),
            Self::Counted(_) => None,
        }
    }

    /// The numbers for writing, if there are any.
    pub fn numbers_mut(&mut self) -> Option<&mut [f32]> {
        match self {
            Self::Real(lines) => Some(bytemuck::cast_slice_mut(lines)),
            Self::Mapped(bytes) => Some(bytemuck::cast_slice_mut(bytes)),
            Self::Counted(_) => None,
        }
    }
}

/// The buffers of one device.
///
/// A request is served by the smallest kept block that is at most a quarter larger; kept blocks are released, oldest first,
/// so that live and kept together exceed what was once live at the same time by 32 MiB at most, and by no more than that
/// was, and the budget never. What a pool does depends on the requests alone: one that only counts, and has no memory,
/// ends with the same figures as one that has.
#[derive(Debug)]
pub(crate) struct Pool<B = Block> {
    state: Mutex<State<B>>,
    budget: Option<u64>,
    counts_only: bool,
}

/// The account of a pool: two pools whose accounts are equal treat equal requests equally from then on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    live: u64,
    peak: u64,
    kept: Vec<u64>,
}

#[derive(Debug)]
struct State<B> {
    kept: VecDeque<B>,
    stats: PoolStats,
    /// Bytes beside the pool's own that the budget has to cover too.
    reserved: u64,
}

impl Pool {
    /// A pool whose blocks have no memory.
    pub fn counting() -> Self {
        Self { counts_only: true, ..Self::new(None) }
    }

    /// A block of at least `len` floats with unspecified contents.
    pub fn take(&self, len: usize) -> Result<Block> {
        let lines = len.div_ceil(LINE);
        let bytes = (lines as u64).saturating_mul(LINE_BYTES);
        self.take_or(bytes, || {
            if self.counts_only {
                return Ok(Block::Counted(lines));
            }
            let block = if bytes < MIN_MAPPED_BYTES {
                bytemuck::allocation::try_zeroed_vec(lines).map(Block::Real).ok()
            } else {
                usize::try_from(bytes).ok().and_then(|bytes| MmapMut::map_anon(bytes).ok()).map(large_pages)
            };
            block.ok_or(Error::OutOfMemory { asked: bytes, budget: None })
        })
    }
}

/// A mapping, of large pages where the system has them to give.
fn large_pages(mapping: MmapMut) -> Block {
    // A wish: without it the memory is the same, and slower to come.
    #[cfg(target_os = "linux")]
    let _ = mapping.advise(memmap2::Advice::HugePage);
    Block::Mapped(mapping)
}

impl<B: Held> Pool<B> {
    /// A pool that refuses to have more than `budget` bytes in use.
    pub fn new(budget: Option<u64>) -> Self {
        let state = State { kept: VecDeque::new(), stats: PoolStats::default(), reserved: 0 };
        Self { state: Mutex::new(state), budget, counts_only: false }
    }

    /// A kept block of `bytes` to a quarter more, or a new one of `bytes` that `make` makes.
    pub fn take_or(&self, bytes: u64, make: impl FnOnce() -> Result<B>) -> Result<B> {
        let mut state = self.lock();
        let taken = state.stats.live.saturating_add(state.reserved);
        if self.budget.is_some_and(|budget| taken.saturating_add(bytes) > budget) {
            return Err(Error::OutOfMemory { asked: bytes, budget: self.budget });
        }
        let best = (state.kept.iter().enumerate())
            .filter(|(_, block)| (bytes..=bytes.saturating_add(bytes / 4)).contains(&block.bytes()))
            .min_by_key(|(_, block)| block.bytes())
            .map(|(index, _)| index);
        let held = best.and_then(|index| state.kept.remove(index));
        let used = held.as_ref().map_or(bytes, B::bytes);
        let before = state.stats;
        match held {
            Some(_) => {
                state.stats.hits += 1;
                state.stats.kept -= used;
            }
            None => state.stats.misses += 1,
        }
        state.stats.live += used;
        state.stats.peak = before.peak.max(state.stats.live);
        state.stats.high_water = before.high_water.max(state.stats.live);
        state.trim(self.budget);
        drop(state);
        match held {
            Some(block) => Ok(block),
            None => make().inspect_err(|_| {
                let mut state = self.lock();
                state.stats.live -= used;
                state.stats.peak = before.peak.max(state.stats.live);
                state.stats.high_water = before.high_water.max(state.stats.live);
            }),
        }
    }

    /// Sets bytes aside that are held outside of the pool and that its budget has to cover.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if they do not fit.
    #[cfg_attr(
        not(any(feature = "vulkan", test)),
        expect(dead_code, reason = "only weights on a GPU are held outside")
    )]
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        let mut state = self.lock();
        let taken = state.stats.live.saturating_add(state.reserved).saturating_add(bytes);
        if self.budget.is_some_and(|budget| taken > budget) {
            return Err(Error::OutOfMemory { asked: bytes, budget: self.budget });
        }
        state.reserved += bytes;
        // They come before kept blocks, which are released.
        state.trim(self.budget);
        Ok(())
    }

    /// Gives back what was [reserved](Self::reserve).
    #[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "only weights on a GPU are held outside"))]
    pub fn unreserve(&self, bytes: u64) {
        self.lock().reserved -= bytes;
    }

    /// Takes a block back.
    pub fn give(&self, block: B) {
        let bytes = block.bytes();
        let mut state = self.lock();
        state.stats.live -= bytes;
        if bytes >= MIN_KEPT_BYTES {
            state.stats.kept += bytes;
            state.kept.push_back(block);
            state.trim(self.budget);
        }
    }

    /// Releases every kept block to the system; the peak is measured anew from here.
    pub fn release(&self) {
        let mut state = self.lock();
        state.kept.clear();
        state.stats.kept = 0;
        state.stats.peak = state.stats.live;
    }

    /// Releases every kept block to the system, which has no more.
    #[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "the processor's memory is not ours alone"))]
    pub fn shed(&self) {
        let mut state = self.lock();
        state.kept.clear();
        state.stats.kept = 0;
    }

    /// Whether its blocks have no memory.
    pub fn counts_only(&self) -> bool {
        self.counts_only
    }

    /// What the pool's further behaviour depends on.
    pub fn account(&self) -> Account {
        let state = self.lock();
        Account { live: state.stats.live, peak: state.stats.peak, kept: state.kept.iter().map(B::bytes).collect() }
    }

    /// The most bytes that may be in use.
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// The present figures.
    pub fn stats(&self) -> PoolStats {
        self.lock().stats
    }

    /// A panic elsewhere cannot leave the counters half-written: every update above is complete before anything that
    /// can panic, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Held> State<B> {
    /// Drops the oldest kept blocks until live and kept fit into the peak with something to spare, and into the budget.
    fn trim(&mut self, budget: Option<u64>) {
        let most = self.stats.peak + self.stats.peak.min(SPARE_BYTES);
        let most = budget.map_or(most, |budget| most.min(budget.saturating_sub(self.reserved)));
        while self.stats.live + self.stats.kept > most {
            let Some(block) = self.kept.pop_front() else { break };
            self.stats.kept -= block.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 18; // floats

    #[test]
    fn a_block_is_used_again_for_little_less() {
        let pool = Pool::<Block>::new(None);
        let big = pool.take(8 * MB).unwrap();
        pool.give(big);
        let nearly = pool.take(7 * MB).unwrap();
        assert_eq!((nearly.bytes(), pool.stats().hits), (8 << 20, 1));
        pool.give(nearly);
        let _half = pool.take(4 * MB).unwrap();
        assert_eq!(pool.stats().hits, 1);
    }

    #[test]
    fn kept_blocks_add_the_peak_or_32_mib_at_most_and_never_break_the_budget() {
        let mut most_kept = [0; 3];
        let budget = 12 << 20;
        for (most_kept, (budget, times)) in most_kept.iter_mut().zip([(None, 1), (None, 20), (Some(budget), 1)]) {
            let pool = Pool::<Block>::new(budget);
            for size in [3, 7, 1, 9, 2, 4, 6] {
                let a = pool.take(times * size * MB).unwrap();
                let b = pool.take(times * MB).unwrap();
                pool.give(a);
                pool.give(b);
                let stats = pool.stats();
                let most = stats.high_water + stats.high_water.min(32 << 20);
                let total = stats.live + stats.kept;
                assert!(total <= budget.unwrap_or(most).min(most), "{stats:?}");
                *most_kept = stats.kept.max(*most_kept);
            }
            assert_eq!((pool.stats().live, pool.stats().high_water), (0, (times as u64 * 10) << 20));
        }
        // Some of what may be kept is.
        assert!(most_kept[0] > 10 << 20 && most_kept[1] > 200 << 20 && most_kept[2] > 10 << 20, "{most_kept:?}");
        let pool = Pool::<Block>::new(Some(budget));
        pool.give(pool.take(10 * MB).unwrap());
        pool.reserve(8 << 20).unwrap();
        assert_eq!(pool.stats().kept, 0);
    }

    #[test]
    fn a_pool_on_paper_keeps_the_same_account() {
        let (real, paper) = (Pool::<Block>::new(None), Pool::counting());
        let mut held = Vec::new();
        for (i, size) in [9, 3, 36, 9, 3, 40, 9, 3, 36, 8].into_iter().cycle().take(200).enumerate() {
            let len = size * (1 << 12) + 5 * i;
            held.push((real.take(len).unwrap(), paper.take(len).unwrap()));
            while held.len() > 4 + i % 3 {
                let (a, b) = held.swap_remove(i * 7 % held.len());
                real.give(a);
                paper.give(b);
            }
            if i == 100 {
                real.release();
                paper.release();
            }
            assert_eq!((real.stats(), real.account()), (paper.stats(), paper.account()));
        }
        let stats = real.stats();
        assert!(stats.hits > 20 && stats.peak <= stats.high_water, "{stats:?}");
        assert!(paper.take(1 << 60).unwrap().numbers().is_none());
    }

    #[test]
    fn what_the_system_refuses_is_an_error_too() {
        let pool = Pool::<Block>::new(None);
        let error = pool.take(1 << 60).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { budget: None, .. }), "{error}");
        assert_eq!((pool.stats().live, pool.stats().high_water), (0, 0));
    }

    #[test]
    fn the_budget_is_an_error_that_says_what_was_asked() {
        let pool = Pool::<Block>::new(Some(1 << 20));
        let first = pool.take(MB / 2).unwrap();
        assert!(matches!(pool.take(MB), Err(Error::OutOfMemory { asked: 1_048_576, budget: Some(1_048_576) })));
        pool.give(first);
        assert!(pool.take(MB).is_ok());
    }
}
