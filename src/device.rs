//! Where tensors live and ops run.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zoetrope_kernels::{Exec, Level};

use crate::error::{Error, Result};
use crate::pool::{Account, Pool, PoolStats};
use crate::work::Work;

/// Stops the work of every device that it was given to; clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop; it ends with [`Error::Cancelled`] within a fraction of a second.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A device: a cheap handle, shared by every tensor that lives on it.
///
/// Tensors of one request share one device; its pool counts their memory and its [`Cancel`] stops their ops.
#[derive(Clone)]
pub enum Device {
    /// The processor, in the caller's rayon pool.
    Cpu(Cpu),
}

/// The processor with an instruction set, a buffer pool and a stop flag.
#[derive(Clone)]
pub struct Cpu(Arc<CpuState>);

struct CpuState {
    level: Level,
    exact_conv: bool,
    pool: Pool,
    cancel: Cancel,
    work: Mutex<Work>,
    /// Bytes of matrices that models have asked for.
    weights: Arc<AtomicU64>,
    /// The stage and step whose layers are examined one by one, while that is done.
    examined: Mutex<Option<(&'static str, Option<usize>)>>,
}

/// How a [`Device`] is opened.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The instruction set; the best of this machine if `None` (`ZOETROPE_SIMD=portable|avx2|avx512` overrides that choice).
    pub level: Option<Level>,
    /// Convolutions as direct sums, slower and with a fourth of the rounding error, never by Winograd's algorithm.
    pub exact_conv: bool,
    /// The most bytes of tensors in use at one time; no limit if `None`.
    pub memory_budget: Option<u64>,
    /// The flag that stops this device's work.
    pub cancel: Cancel,
}

impl Device {
    /// The processor with default options.
    ///
    /// # Errors
    /// [`Error::Request`] if `ZOETROPE_SIMD` names an instruction set that is unknown or absent here.
    pub fn cpu() -> Result<Self> {
        Self::cpu_with(DeviceOptions::default())
    }

    /// The processor with these options.
    ///
    /// # Errors
    /// [`Error::Request`] if the instruction set is unknown or absent here.
    pub fn cpu_with(options: DeviceOptions) -> Result<Self> {
        let level = match options.level {
            Some(level) if Level::available().contains(&level) => level,
            Some(level) => {
                return Err(Error::Request { what: "level", why: format!("this processor does not have {level}") });
            }
            None => {
                Level::detect().map_err(|error| Error::Request { what: "ZOETROPE_SIMD", why: error.to_string() })?
            }
        };
        Ok(Self::new(level, options.exact_conv, Pool::new(options.memory_budget), options.cancel))
    }

    /// A device like this one that runs no kernel and has no memory, but counts both: its tensors hold no numbers
    /// ([`Tensor::data`](crate::Tensor::data) is empty), and its pool and its work end with the figures that a fresh
    /// device would have.
    pub(crate) fn counting(&self) -> Self {
        let Self::Cpu(cpu) = self;
        Self::new(cpu.0.level, cpu.0.exact_conv, Pool::counting(), Cancel::default())
    }

    /// A fresh device with this one's instructions and stop flag.
    pub(crate) fn another(&self) -> Self {
        let Self::Cpu(cpu) = self;
        Self::new(cpu.0.level, cpu.0.exact_conv, Pool::new(None), self.cancel().clone())
    }

    fn new(level: Level, exact_conv: bool, pool: Pool, cancel: Cancel) -> Self {
        let (work, weights, examined) = Default::default();
        Self::Cpu(Cpu(Arc::new(CpuState { level, exact_conv, pool, cancel, work, weights, examined })))
    }

    /// The flag that stops this device's work.
    pub fn cancel(&self) -> &Cancel {
        let Self::Cpu(cpu) = self;
        &cpu.0.cancel
    }

    /// What the buffer pool holds and has held.
    pub fn pool_stats(&self) -> PoolStats {
        let Self::Cpu(cpu) = self;
        cpu.pool().stats()
    }

    /// What the ops of this device have done so far.
    pub fn work(&self) -> Work {
        let Self::Cpu(cpu) = self;
        *cpu.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a device that only counts adds up the bytes of matrices, which it does not read.
    pub(crate) fn counted_weights(&self) -> Option<Arc<AtomicU64>> {
        let Self::Cpu(cpu) = self;
        cpu.pool().counts_only().then(|| cpu.0.weights.clone())
    }

    /// Bytes of matrices that models on a device that only counts have asked for.
    pub(crate) fn weights_seen(&self) -> u64 {
        let Self::Cpu(cpu) = self;
        cpu.0.weights.load(Ordering::Relaxed)
    }

    /// What the further behaviour of the pool depends on.
    pub(crate) fn account(&self) -> Account {
        let Self::Cpu(cpu) = self;
        cpu.pool().account()
    }

    /// Does something `again` that ended in numbers that are not finite, now with an eye on each layer's result.
    ///
    /// Returns the error that names the first such layer; whatever else stopped the second attempt comes before it.
    pub(crate) fn examine<T>(
        &self,
        stage: &'static str,
        step: Option<usize>,
        again: impl FnOnce() -> Result<T>,
    ) -> Error {
        let Self::Cpu(cpu) = self;
        let set = |value| *cpu.0.examined.lock().unwrap_or_else(PoisonError::into_inner) = value;
        set(Some((stage, step)));
        let outcome = again();
        set(None);
        outcome.err().unwrap_or(Error::NotFinite { stage, step, layer: None })
    }

    /// The stage and step whose layers are examined one by one, while that is done.
    pub(crate) fn examined(&self) -> Option<(&'static str, Option<usize>)> {
        let Self::Cpu(cpu) = self;
        *cpu.0.examined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives buffers that nobody uses back to the system.
    pub fn release_unused(&self) {
        let Self::Cpu(cpu) = self;
        cpu.pool().release();
    }

    /// [`Error::OutOfMemory`] if the budget is below `bytes`.
    pub(crate) fn expect(&self, bytes: u64) -> Result<()> {
        let Self::Cpu(cpu) = self;
        match cpu.pool().budget() {
            Some(budget) if bytes > budget => Err(Error::OutOfMemory { asked: bytes, budget: Some(budget) }),
            _ => Ok(()),
        }
    }

    /// [`Error::Cancelled`] once somebody asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancel().is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl Cpu {
    /// Runs a kernel that fills or changes `out` and counts its work; a device that only counts leaves it at that.
    pub(crate) fn run(&self, work: Work, out: &mut [f32], kernel: impl FnOnce(Exec, &mut [f32])) {
        let mut done = self.0.work.lock().unwrap_or_else(PoisonError::into_inner);
        *done = *done + work;
        drop(done);
        if !self.pool().counts_only() {
            kernel(Exec { level: self.0.level, stop: &self.0.cancel.0 }, out);
        }
    }

    /// Whether convolutions may go by Winograd's algorithm.
    pub(crate) fn winograd(&self) -> bool {
        !self.0.exact_conv
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

/// What decides the bits of a result: the kind of device and, of a processor, the instruction set and whether
/// convolutions are direct sums: "cpu avx2", "cpu avx2 exact-conv".
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Cpu(cpu) = self;
        write!(f, "cpu {}{}", cpu.0.level, if cpu.0.exact_conv { " exact-conv" } else { "" })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Cpu(cpu) = self;
        write!(f, "Cpu({})", cpu.0.level)
    }
}
