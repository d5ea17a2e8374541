//! Weights on the device: copied when an op first uses them, and let go where their room is needed.
//!
//! A model that does not fit is streamed so, matrix by matrix: a step fetches again what had to go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::handle::{NUMBER, Vulkan};
use super::memory::{Block, Memory};
use super::run::{Part, Told};
use super::{HALVES, Kept};
use crate::error::{Error, Result};
use crate::weights::storage::Storage;
use crate::weights::weight::Weight;

/// The share of the budget that is freed at a time, and that the copies used last are worth: what the device works with
/// now and next.
const SHARE: u64 = 8;

/// Bytes of a weight that are brought over at a time where the device makes something else of them.
const ROOM: usize = 8 << 20;
/// Invocations of a workgroup that does.
const LOCAL: usize = 128;

/// Where a weight keeps its copy on a GPU.
pub(crate) type Slot = Mutex<Option<Arc<WeightCopy>>>;

/// A weight's bytes on a GPU, as they are stored or as matrix units read them; freed with the last clone of the weight, or for want of memory.
pub(crate) struct WeightCopy {
    pub(super) block: Block,
    pub(super) storage: Storage,
    bytes: u64,
    /// When it was last used, counted in uses.
    used: AtomicU64,
    /// The submission that used it last.
    submission: AtomicU64,
    vulkan: Vulkan,
}

impl WeightCopy {
    /// Notes that a submission uses it.
    pub(super) fn mark(&self, submission: u64) {
        self.submission.fetch_max(submission, Ordering::Relaxed);
    }
}

impl Drop for WeightCopy {
    fn drop(&mut self) {
        self.vulkan.0.pool.unreserve(self.bytes);
    }
}

/// The weights that have a copy.
#[derive(Default)]
pub(super) struct Residents {
    slots: Mutex<Vec<Weak<Slot>>>,
    /// Uses of weights so far.
    uses: AtomicU64,
}

impl Vulkan {
    /// A weight's copy on this device, made if there is none.
    pub(super) fn weight(&self, weight: &Weight) -> Result<Arc<WeightCopy>> {
        let used = self.0.residents.uses.fetch_add(1, Ordering::Relaxed);
        let mut slot = weight.slot().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = slot.as_ref().filter(|copy| copy.vulkan.is(self)) {
            copy.used.store(used, Ordering::Relaxed);
            return Ok(copy.clone());
        }
        let kept = self.kept(weight);
        let bytes = Memory::round(kept.storage.bytes_of(weight.shape().numel()) as u64);
        let block = self.with_room(bytes, || {
            self.0.pool.reserve(bytes)?;
            self.block(bytes).inspect_err(|_| self.0.pool.unreserve(bytes))
        })?;
        // From here on it is given back on drop.
        let (used, submission) = (used.into(), AtomicU64::new(0));
        let copy = Arc::new(WeightCopy { block, storage: kept.storage, bytes, used, submission, vulkan: self.clone() });
        let (_, taps) = channels_and_taps(weight);
        if kept.for_units && (taps > 1 || weight.storage() != kept.storage) {
            self.upload_halves(&copy.block, weight)?;
        } else {
            self.upload_bytes(&copy.block, 0, weight.bytes())?;
        }
        copy.mark(self.line().stream.next());
        *slot = Some(copy.clone());
        drop(slot);
        self.0.residents.slots.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(weight.slot()));
        Ok(copy)
    }

    /// How a weight lies on this device. Who computes at half precision reads weights so too.
    pub(crate) fn kept(&self, weight: &Weight) -> Kept {
        let (channels, _) = channels_and_taps(weight);
        let fits = || channels > 0 && channels.is_multiple_of(8) && weight.fits_f16();
        if self.units().is_some() && fits() {
            Kept { storage: Storage::F16, for_units: true }
        } else {
            Kept { storage: weight.storage(), for_units: false }
        }
    }

    /// Brings a weight over and has the device make halves of it, some of its rows at a time: in place where they are as long.
    fn upload_halves(&self, to: &Block, weight: &Weight) -> Result<()> {
        let (channels, taps) = channels_and_taps(weight);
        let (row, storage) = (channels * taps, weight.storage());
        let row_bytes = storage.bytes_of(row);
        let rows = (ROOM / row_bytes).max(1);
        if taps == 1 && row_bytes == Storage::F16.bytes_of(row) {
            self.upload_bytes(to, 0, weight.bytes())?;
            return (0..weight.shape().numel()).step_by(rows * row).try_for_each(|first| {
                let count = (rows * row).min(weight.shape().numel() - first);
                self.make_halves(storage, (to, first), (to, first), [count, taps, channels])
            });
        }
        let room = self.take((rows * row_bytes).min(weight.bytes().len()).div_ceil(NUMBER))?;
        let made = weight.bytes().chunks(rows * row_bytes).enumerate().try_for_each(|(i, bytes)| {
            self.upload_bytes(&room, 0, bytes)?;
            self.make_halves(storage, (&room, 0), (to, i * rows * row), [storage.view(bytes).len(), taps, channels])
        });
        self.give(room);
        made
    }

    /// Has the shader run on elements of these buffers from some on; `sizes` are their number, taps and channels.
    fn make_halves(
        &self,
        storage: Storage,
        from: (&Block, usize),
        to: (&Block, usize),
        sizes: [usize; 3],
    ) -> Result<()> {
        let [count, ..] = sizes;
        let told = Told {
            constants: &[(0, LOCAL as u32), (5, storage.shader_constant())],
            sizes: &sizes.map(|size| size as u32),
            scalars: &[],
            groups: count.div_ceil(8 * LOCAL),
            cost: (storage.bytes_of(count) + Storage::F16.bytes_of(count)) as u64,
        };
        let parts = [Part::of(to, count, Storage::F16), Part::of(from, count, storage)];
        self.record(&HALVES, &told, &parts, &[])
    }

    /// Makes what takes `bytes`, if need be after letting go of weights.
    pub(super) fn with_room<T>(&self, bytes: u64, make: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            match make() {
                Err(Error::OutOfMemory { .. }) if self.evict(bytes)? => {}
                outcome => return outcome,
            }
        }
    }

    /// Lets go of copies that take `bytes` or a share of the budget, whichever is more, and tells whether there were any.
    ///
    /// A model's matrices are used in turn, so that those used longest ago are needed soonest. What goes are those used
    /// last, but for the very last, with which the device is still at work: most of what was there stays for the next step.
    fn evict(&self, bytes: u64) -> Result<bool> {
        let share = bytes.max(self.budget().unwrap_or(0) / SHARE);
        let mut slots = self.0.residents.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copies: Vec<(u64, u64, Arc<Slot>)> = Vec::new();
        // A slot that is locked is being filled or read, and a copy that somebody holds is about to be used.
        let unused = |copy: &Arc<WeightCopy>| copy.vulkan.is(self) && Arc::strong_count(copy) == 1;
        for slot in slots.iter().filter_map(Weak::upgrade) {
            let found = slot.try_lock().ok().and_then(|held| {
                let copy = held.as_ref().filter(|copy| unused(copy))?;
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
            if let Some(copy) = slot.try_lock().ok().and_then(|mut held| held.take_if(|copy| unused(copy))) {
                freed += bytes;
                submission = submission.max(copy.submission.load(Ordering::Relaxed));
            }
        }
        slots.retain(|slot| slot.upgrade().is_some_and(|slot| slot.try_lock().map_or(true, |held| held.is_some())));
        drop(slots);
        if freed > 0 {
            // Commands under way hold the buffers still. Those with what was used since go on beside the next uploads.
            self.line().stream.wait_for(submission)?;
        }
        Ok(freed > 0)
    }
}

/// Terms of a weight's rows that lie side by side where matrix units read them, and how often: a kernel's channels and taps.
/// Of weights for other ops, none.
fn channels_and_taps(weight: &Weight) -> (usize, usize) {
    match *weight.shape().dims() {
        [_, terms] => (terms, 1),
        [_, channels, ref taps @ ..] if taps.len() == 3 => (channels, taps.iter().product()),
        _ => (0, 1),
    }
}
