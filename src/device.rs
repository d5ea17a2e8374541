//! Where tensors live and ops run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zoetrope_kernels::{Exec, Level};

use crate::error::{Error, Result};
use crate::pool::{Pool, PoolStats};

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
    pool: Pool,
    cancel: Cancel,
}

/// How a [`Device`] is opened.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The instruction set; the best of this machine if `None` (`ZOETROPE_SIMD=portable|avx2` overrides that choice).
    pub level: Option<Level>,
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
        let pool = Pool::new(options.memory_budget);
        Ok(Self::Cpu(Cpu(Arc::new(CpuState { level, pool, cancel: options.cancel }))))
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
    /// What the kernels need to know: instruction set and stop flag.
    pub(crate) fn exec(&self) -> Exec<'_> {
        Exec { level: self.0.level, stop: &self.0.cancel.0 }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

/// What decides the bits of a result: the kind of device and, of a processor, the instruction set: "cpu avx2".
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Cpu(cpu) = self;
        write!(f, "cpu {}", cpu.0.level)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Cpu(cpu) = self;
        write!(f, "Cpu({})", cpu.0.level)
    }
}
