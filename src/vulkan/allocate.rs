//! What a GPU holds: buffers from its pool, and room made for them by evicting copies of weights.

use super::memory::{Block, Memory};
use super::state::{NUMBER, Vulkan};
use crate::error::{Error, Result};

/// The share of the budget that is freed at a time, and that the copies used last are worth: what the device works with
/// now and next.
const SHARE: u64 = 8;

impl Vulkan {
    /// A buffer of at least `len` floats with unspecified contents.
    pub(crate) fn take(&self, len: usize) -> Result<Block> {
        let bytes = Memory::round((len as u64).saturating_mul(NUMBER as u64));
        self.evicting(bytes, || self.0.pool.take_or(bytes, || self.block(bytes)))
    }

    /// Takes a buffer back.
    ///
    /// Who gets it next writes to it after a barrier, as commands so far may use it.
    pub(crate) fn give(&self, block: Block) {
        self.0.pool.give(block);
    }

    /// A new buffer beside the pool, whose `bytes` the pool's budget covers.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Block> {
        self.evicting(bytes, || {
            self.0.pool.reserve(bytes)?;
            self.block(bytes).inspect_err(|_| self.0.pool.unreserve(bytes))
        })
    }

    pub(crate) fn release_unused(&self) {
        let mut line = self.line();
        // What fails here fails the next op too.
        let _ = line.stream.wait();
        let done = line.stream.done();
        line.staging.release(done);
        drop(line);
        self.0.pool.release();
    }

    /// Waits until all work is done.
    pub(crate) fn wait(&self) -> Result<()> {
        self.line().stream.wait()
    }

    /// A new buffer; for want of memory, the pool's kept buffers go first.
    fn block(&self, bytes: u64) -> Result<Block> {
        self.0.memory.block(bytes).or_else(|error| match error {
            Error::OutOfMemory { budget: None, .. } => {
                self.0.pool.shed();
                self.wait()?;
                self.0.memory.block(bytes)
            }
            error => Err(error),
        })
    }

    /// Makes what takes `bytes`, if need be after evicting weights.
    fn evicting<T>(&self, bytes: u64, make: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            match make() {
                Err(Error::OutOfMemory { .. }) if self.evict(bytes)? => {}
                outcome => return outcome,
            }
        }
    }

    /// Evicts copies that take `bytes` or a share of the budget, whichever is more; returns whether there were any.
    fn evict(&self, bytes: u64) -> Result<bool> {
        let share = bytes.max(self.budget().unwrap_or(0) / SHARE);
        let (freed, submission) = self.0.residents.evict(&self.0.pool, share);
        if freed > 0 {
            // Commands under way hold the buffers still. Those with what was used since go on beside the next uploads.
            self.line().stream.wait_for(submission)?;
        }
        Ok(freed > 0)
    }
}
