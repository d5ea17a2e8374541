//! Where tensors live and ops run.

mod cpu;
mod dry_run;
pub(crate) mod identity;
pub(crate) mod options;
pub(crate) mod pool;
pub(crate) mod run;
pub mod tuning;
pub(crate) mod work;

pub use cpu::Cpu;
pub(crate) use dry_run::CountedWeights;
pub use options::{DeviceOptions, Precision};
pub use pool::PoolStats;
pub use run::Cancel;
pub(crate) use run::{Examined, Run};
pub use work::Work;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zoetrope_kernels::Level;

use self::pool::Account;
use self::tuning::Tuning;
use crate::error::{DeviceFault, Error, Result};
use crate::vulkan::{GpuInfo, Vulkan};

/// A device: a cheap handle, shared by every tensor that lives on it.
///
/// The device's pool counts the memory of all its tensors. A handle belongs to one job at a time: its [`Cancel`] stops the
/// work that was begun with it, and [`with_cancel`](Self::with_cancel) gives one for another job on the same device.
#[derive(Clone)]
pub enum Device {
    /// The processor, in the caller's rayon pool.
    Cpu(Cpu),
    /// A GPU; none can be opened without the feature `vulkan`.
    Vulkan(Vulkan),
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
        Cpu::open(options).map(Self::Cpu)
    }

    /// The GPUs of this machine and its software drivers, usable or not, in the driver's order.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no Vulkan here, or this build is without it.
    pub fn gpus() -> Result<Vec<GpuInfo>> {
        Vulkan::list()
    }

    /// A handle of the same device for another job: its tensors and weights can be used by both, `cancel` stops the work
    /// that is begun with the new handle alone.
    ///
    /// A device whose work was cancelled is as good as before: only the handle is spent.
    #[must_use]
    pub fn with_cancel(&self, cancel: Cancel) -> Self {
        let run = Run::new(cancel);
        match self {
            Self::Cpu(cpu) => Self::Cpu(cpu.with_run(run)),
            Self::Vulkan(vulkan) => Self::Vulkan(vulkan.with_run(run)),
        }
    }

    /// A device like this one that runs no kernel and has no memory, but counts both: its tensors hold no numbers, and
    /// its pool and its work end with the figures that a fresh device would have.
    pub(crate) fn counting(&self) -> Self {
        match self {
            Self::Cpu(cpu) => Self::Cpu(cpu.to_counting()),
            // Its convolutions are sums, and the rest of the count does not depend on the device.
            Self::Vulkan(vulkan) => Self::Cpu(Cpu::counting(Level::Portable, true, vulkan.precision())),
        }
    }

    /// A fresh device with this one's instructions and job.
    pub(crate) fn another(&self) -> Result<Self> {
        match self {
            Self::Cpu(cpu) => Ok(Self::Cpu(cpu.another())),
            Self::Vulkan(vulkan) => vulkan.another(self.cancel().clone()).map(Self::Vulkan),
        }
    }

    fn job(&self) -> &Run {
        match self {
            Self::Cpu(cpu) => cpu.job(),
            Self::Vulkan(vulkan) => vulkan.job(),
        }
    }

    /// All of the device that decides the bits of a result: what is displayed of it, and on a GPU the shape of cooperative
    /// matrices and the tile sizes, where they are not the usual ones. For caches and recipes.
    pub fn identity(&self) -> String {
        let more = match self {
            Self::Cpu(_) => String::new(),
            Self::Vulkan(vulkan) => {
                let matrices = vulkan.matrices().map(|[m, n, k]| format!(", cooperative matrices {m}x{n}x{k}"));
                let tuning = vulkan.tuning().fingerprint().map(|tuning| format!(", tile sizes {tuning}"));
                matrices.unwrap_or_default() + &tuning.unwrap_or_default()
            }
        };
        format!("{self}{more}")
    }

    /// The flag that stops the work of this handle.
    pub fn cancel(&self) -> &Cancel {
        &self.job().cancel
    }

    /// How exact the numbers are: [`DeviceOptions::precision`].
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(cpu) => cpu.precision(),
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
        match self {
            Self::Cpu(cpu) => cpu.work(),
            Self::Vulkan(vulkan) => vulkan.work(),
        }
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
    pub(crate) fn counted_weights(&self) -> Option<&Arc<CountedWeights>> {
        match self {
            Self::Cpu(cpu) => cpu.counted_weights(),
            Self::Vulkan(_) => None,
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

    /// [`Run::examine`] for the job of this handle.
    pub(crate) fn examine<T>(&self, examined: Examined, again: impl FnOnce() -> Result<T>) -> Error {
        self.job().examine(examined, again)
    }

    /// The stage and step whose layers are examined one by one, while that is done.
    pub(crate) fn examined(&self) -> Option<Examined> {
        self.job().examined()
    }

    /// Keeps tile sizes in `folder` for those who open the same device with the same driver and shaders and that folder as
    /// their [`pipeline_cache`](DeviceOptions::pipeline_cache); returns the file.
    ///
    /// # Errors
    /// [`Error::Device`] if it is the processor, whose kernels have one way alone; [`Error::Io`].
    pub fn save_tuning(&self, folder: &Path, tuning: &Tuning) -> Result<PathBuf> {
        let Self::Vulkan(vulkan) = self else {
            let why = "the processor's kernels have no tile sizes to choose; name a GPU".into();
            return Err(Error::Device { fault: DeviceFault::Unusable, why });
        };
        let failed = |source| Error::Io { doing: "write", path: folder.to_owned(), source };
        vulkan.save_tuning(folder, tuning).map_err(failed)
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
        self.job().check()
    }

    /// Whether both are handles of one opened device.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cpu(a), Self::Cpu(b)) => a.is(b),
            (Self::Vulkan(a), Self::Vulkan(b)) => a.is(b),
            _ => false,
        }
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

/// What decides the bits of a result: the kind of device and, of a processor, the instruction set and whether
/// convolutions are direct sums: "cpu avx2", "cpu avx2 exact-conv"; of a GPU, its name and driver.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "cpu {}{}", cpu.level(), if cpu.winograd() { "" } else { " exact-conv" }),
            Self::Vulkan(vulkan) => {
                let half = if vulkan.precision() == Precision::Half { options::HALF } else { "" };
                write!(f, "vulkan {}{half}", vulkan.info().identity())
            }
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "Cpu({})", cpu.level()),
            Self::Vulkan(vulkan) => write!(f, "Vulkan({})", vulkan.info().name),
        }
    }
}
