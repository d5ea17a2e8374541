//! Where tensors live and ops run.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zoetrope_kernels::{Exec, Level};

use crate::error::{Error, Result};
use crate::pool::{Account, Pool, PoolStats};
use crate::tuning::Tuning;
use crate::vulkan::{GpuInfo, Vulkan};
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
    /// A GPU; none can be opened without the feature `vulkan`.
    Vulkan(Vulkan),
}

/// The processor with an instruction set, a buffer pool and a stop flag.
#[derive(Clone)]
pub struct Cpu(Arc<CpuState>);

struct CpuState {
    level: Level,
    exact_conv: bool,
    /// Not full only where work for a GPU is counted.
    precision: Precision,
    pool: Pool,
    common: Common,
    /// Matrices that models have asked for.
    weights: Arc<Matrices>,
}

/// What a device that only counts has seen of matrices.
#[derive(Debug, Default)]
pub(crate) struct Matrices {
    bytes: AtomicU64,
    largest: AtomicU64,
}

impl Matrices {
    /// Counts a matrix that the device itself multiplies with, or else (`aside`) the processor beside it.
    pub fn count(&self, bytes: u64, aside: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !aside {
            self.largest.fetch_max(bytes, Ordering::Relaxed);
        }
    }
}

/// What every device has.
#[derive(Default)]
pub(crate) struct Common {
    cancel: Cancel,
    work: Mutex<Work>,
    /// The stage and step whose layers are examined one by one, while that is done.
    examined: Mutex<Option<(&'static str, Option<usize>)>>,
}

impl Common {
    pub fn new(cancel: Cancel) -> Self {
        Self { cancel, ..Self::default() }
    }

    /// Adds to what was done.
    pub fn count(&self, work: Work) {
        let mut done = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        *done = *done + work;
    }
}

/// How exact the numbers are that a device's products work with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// F32 throughout.
    #[default]
    Full,
    /// What matrix products, attention and convolutions read is kept as F16, on GPUs alone: half the memory and its traffic.
    ///
    /// Sums, the residual stream, statistics of norms and the time embedding stay F32, and so does what may pass the 65504
    /// that F16 ends at: the gated hidden layer of UMT5.
    Half,
}

/// What the name of a device at half precision ends with.
const HALF: &str = ", half precision";

impl Precision {
    /// Divides a device's name, as it is displayed, into that without its precision, and the precision.
    pub fn of(name: &str) -> (&str, Self) {
        name.strip_suffix(HALF).map_or((name, Self::Full), |name| (name, Self::Half))
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Full, Self::Half].into_iter().find(|precision| precision.to_string() == text).ok_or_else(|| {
            Error::Request { what: "precision", why: format!("{text:?} is none; choose full, or half on a GPU") }
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Half => "half",
        })
    }
}

/// How a [`Device`] is opened.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The instruction set; the best of this machine if `None` (`ZOETROPE_SIMD=portable|avx2|avx512` overrides that choice).
    pub level: Option<Level>,
    /// Convolutions as direct sums, slower and with a fourth of the rounding error, never by Winograd's algorithm; a GPU
    /// knows no other way.
    pub exact_conv: bool,
    /// How exact the numbers are; a processor knows [`Precision::Full`] alone.
    pub precision: Precision,
    /// At half precision too a GPU's general units alone do the products, not those for matrices that it may have.
    pub without_matrices: bool,
    /// The most bytes of tensors in use at one time, on a GPU of tensors and weights, of which those not in use give way
    /// to others; no limit if `None`.
    pub memory_budget: Option<u64>,
    /// A folder in which a GPU's driver keeps what it made of the shaders, so that the next start is quicker; none by
    /// default.
    pub pipeline_cache: Option<PathBuf>,
    /// How a GPU's shaders cut their work; what was kept for the device in that folder, or else the usual way, if `None`.
    pub tuning: Option<Tuning>,
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
    /// [`Error::Request`] if the instruction set is unknown or absent here, or the precision is not full.
    pub fn cpu_with(options: DeviceOptions) -> Result<Self> {
        if options.precision != Precision::Full {
            let why = "a processor computes at full precision alone; name a GPU or take full".into();
            return Err(Error::Request { what: "precision", why });
        }
        let level = match options.level {
            Some(level) if Level::available().contains(&level) => level,
            Some(level) => {
                return Err(Error::Request { what: "level", why: format!("this processor does not have {level}") });
            }
            None => {
                Level::detect().map_err(|error| Error::Request { what: "ZOETROPE_SIMD", why: error.to_string() })?
            }
        };
        Ok(Self::new(level, options.exact_conv, Precision::Full, Pool::new(options.memory_budget), options.cancel))
    }

    /// The GPUs of this machine and its software drivers, usable or not, in the driver's order.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no Vulkan here, or this build is without it.
    pub fn gpus() -> Result<Vec<GpuInfo>> {
        Vulkan::list()
    }

    /// A device like this one that runs no kernel and has no memory, but counts both: its tensors hold no numbers, and
    /// its pool and its work end with the figures that a fresh device would have.
    pub(crate) fn counting(&self) -> Self {
        match self {
            Self::Cpu(Cpu(cpu)) => {
                Self::new(cpu.level, cpu.exact_conv, cpu.precision, Pool::counting(), Cancel::default())
            }
            // Its convolutions are sums, and the rest of the count does not depend on the device.
            Self::Vulkan(vulkan) => {
                Self::new(Level::Portable, true, vulkan.precision(), Pool::counting(), Cancel::default())
            }
        }
    }

    /// A fresh device with this one's instructions and stop flag.
    pub(crate) fn another(&self) -> Result<Self> {
        match self {
            Self::Cpu(Cpu(cpu)) => {
                Ok(Self::new(cpu.level, cpu.exact_conv, cpu.precision, Pool::new(None), self.cancel().clone()))
            }
            Self::Vulkan(vulkan) => vulkan.another(self.cancel().clone()).map(Self::Vulkan),
        }
    }

    fn new(level: Level, exact_conv: bool, precision: Precision, pool: Pool, cancel: Cancel) -> Self {
        let (common, weights) = (Common::new(cancel), Arc::default());
        Self::Cpu(Cpu(Arc::new(CpuState { level, exact_conv, precision, pool, common, weights })))
    }

    fn common(&self) -> &Common {
        match self {
            Self::Cpu(cpu) => &cpu.0.common,
            Self::Vulkan(vulkan) => vulkan.common(),
        }
    }

    /// The flag that stops this device's work.
    pub fn cancel(&self) -> &Cancel {
        &self.common().cancel
    }

    /// How exact the numbers are: [`DeviceOptions::precision`].
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(cpu) => cpu.0.precision,
            Self::Vulkan(vulkan) => vulkan.precision(),
        }
    }

    /// The most bytes that may be in use at one time, if there is a limit: [`DeviceOptions::memory_budget`].
    pub fn memory_budget(&self) -> Option<u64> {
        match self {
            Self::Cpu(cpu) => cpu.pool().budget(),
            Self::Vulkan(vulkan) => vulkan.budget(),
        }
    }

    /// What the buffer pool holds and has held.
    pub fn pool_stats(&self) -> PoolStats {
        match self {
            Self::Cpu(cpu) => cpu.pool().stats(),
            Self::Vulkan(vulkan) => vulkan.pool_stats(),
        }
    }

    /// What the ops of this device have done so far; on a GPU, what they were asked to do.
    pub fn work(&self) -> Work {
        *self.common().work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all work is done, which a GPU does beside the processor.
    ///
    /// # Errors
    /// [`Error::Device`] if the GPU was lost.
    pub fn wait(&self) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            Self::Vulkan(vulkan) => vulkan.wait(),
        }
    }

    /// Does `work`, waits until a GPU is done with it, and tells the seconds that took by the GPU's own clock: from the
    /// begin of the first command to the end of the last. `None` for a processor, and for a GPU without a clock.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Device`] if the GPU was lost.
    pub fn timed(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
        match self {
            Self::Cpu(_) => work().map(|()| None),
            Self::Vulkan(vulkan) => vulkan.timed(work),
        }
    }

    /// Where a device that only counts adds up the bytes of matrices, which it does not read.
    pub(crate) fn counted_weights(&self) -> Option<Arc<Matrices>> {
        match self {
            Self::Cpu(cpu) => cpu.pool().counts_only().then(|| cpu.0.weights.clone()),
            Self::Vulkan(_) => None,
        }
    }

    /// Bytes of matrices that models on a device that only counts have asked for, and of the largest since the last call.
    pub(crate) fn weights_seen(&self) -> (u64, u64) {
        match self {
            Self::Cpu(cpu) => {
                let Matrices { bytes, largest } = &*cpu.0.weights;
                (bytes.load(Ordering::Relaxed), largest.swap(0, Ordering::Relaxed))
            }
            Self::Vulkan(_) => (0, 0),
        }
    }

    /// Whether it is a GPU, or a driver that stands for one.
    pub fn is_gpu(&self) -> bool {
        matches!(self, Self::Vulkan(_))
    }

    /// Whether weights are copied into this device's memory as they are needed, wherever they come from.
    pub(crate) fn copies_weights(&self) -> bool {
        self.is_gpu()
    }

    /// What the further behaviour of the pool of a device that counts depends on.
    pub(crate) fn account(&self) -> Option<Account> {
        match self {
            Self::Cpu(cpu) => Some(cpu.pool().account()),
            Self::Vulkan(_) => None,
        }
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
        let set = |value| *self.common().examined.lock().unwrap_or_else(PoisonError::into_inner) = value;
        set(Some((stage, step)));
        let outcome = again();
        set(None);
        outcome.err().unwrap_or(Error::NotFinite { stage, step, layer: None })
    }

    /// The stage and step whose layers are examined one by one, while that is done.
    pub(crate) fn examined(&self) -> Option<(&'static str, Option<usize>)> {
        *self.common().examined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives buffers that nobody uses back to the system.
    pub fn release_unused(&self) {
        match self {
            Self::Cpu(cpu) => cpu.pool().release(),
            Self::Vulkan(vulkan) => vulkan.release_unused(),
        }
    }

    /// [`Error::OutOfMemory`] if the budget is below `bytes`.
    pub(crate) fn expect(&self, bytes: u64) -> Result<()> {
        match self.memory_budget() {
            Some(budget) if bytes > budget => Err(Error::OutOfMemory { asked: bytes, budget: Some(budget) }),
            _ => Ok(()),
        }
    }

    /// [`Error::Cancelled`] once somebody asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.cancel().is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Whether tensors of both can be operands of one op: all processors are one place, each opened GPU is its own.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cpu(_), Self::Cpu(_)) => true,
            (Self::Vulkan(a), Self::Vulkan(b)) => a.is(b),
            _ => false,
        }
    }
}

impl Cpu {
    /// Runs a kernel that fills or changes `out` and counts its work; a device that only counts leaves it at that.
    pub(crate) fn run(&self, work: Work, out: &mut [f32], kernel: impl FnOnce(Exec, &mut [f32])) {
        self.0.common.count(work);
        if !self.pool().counts_only() {
            kernel(Exec { level: self.0.level, stop: &self.0.common.cancel.0 }, out);
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
/// convolutions are direct sums: "cpu avx2", "cpu avx2 exact-conv"; of a GPU, its name and driver.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "cpu {}{}", cpu.0.level, if cpu.0.exact_conv { " exact-conv" } else { "" }),
            Self::Vulkan(vulkan) => {
                let half = if vulkan.precision() == Precision::Half { HALF } else { "" };
                write!(f, "vulkan {}{half}", vulkan.info().identity())
            }
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "Cpu({})", cpu.0.level),
            Self::Vulkan(vulkan) => write!(f, "Vulkan({})", vulkan.info().name),
        }
    }
}
