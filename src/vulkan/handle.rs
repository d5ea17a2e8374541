use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::{Block, Memory};
use super::open::{self, fault};
use super::pipelines::{self, Pipelines};
use super::residents::Residents;
use super::staging::Staging;
use super::stream::Stream;
use super::{GpuInfo, GpuKind, Units};
use crate::device::pool::{Pool, PoolStats};
use crate::device::tuning::{Class, Cut, Tuning};
use crate::device::work::Work;
use crate::device::{Cancel, DeviceOptions, Precision, Run};
use crate::error::{DeviceFault, Error, Result};

/// FLOP and bytes that one dispatch and one submission may cost at first: a tenth of a second on the slowest GPU that is any
/// use, far from where drivers lose patience.
const COST: u64 = 1 << 36;
/// The same of a driver that computes on the processor.
const SOFTWARE_COST: u64 = 1 << 33;
/// Bytes of the largest number of elements that a shader loads at a time.
const VECTOR: u64 = 64;
/// Bytes of an element of a tensor.
pub(super) const NUMBER: usize = size_of::<f32>();

/// A GPU with a stream of work, a buffer pool and a stop flag; cheap to clone.
#[derive(Clone)]
pub struct Vulkan(pub(super) Arc<State>, Arc<Run>);

pub(super) struct State {
    /// First, as it waits for what is under way before the rest goes.
    line: Mutex<Line>,
    pub pool: Pool<Block>,
    pub residents: Residents,
    memory: Arc<Memory>,
    pub info: GpuInfo,
    work: Mutex<Work>,
    pub limits: Limits,
    precision: Precision,
    units: Option<Units>,
    /// Bytes of tensors that shaders have read and written, each operand once.
    pub traffic: AtomicU64,
    /// Runs of shaders for matrix units.
    pub unit_runs: AtomicU64,
    pipeline_cache: Option<PathBuf>,
    tuning: Tuning,
}

/// What happens in order.
pub(super) struct Line {
    pub stream: Stream,
    pub staging: Staging,
    pub pipelines: Pipelines,
}

pub(super) struct Limits {
    /// Buffers are bound from multiples of this on.
    pub alignment: u64,
    /// The most bytes that a shader sees of a buffer.
    pub range: u64,
    /// Bytes of memory that a workgroup shares.
    pub shared: usize,
}

impl Vulkan {
    pub(crate) fn list() -> Result<Vec<GpuInfo>> {
        let devices = open::physical()?;
        Ok(devices.iter().enumerate().map(|(index, device)| open::describe(index, device)).collect())
    }

    pub(crate) fn open(index: usize, options: DeviceOptions) -> Result<Self> {
        let devices = open::physical()?;
        let Some(physical) = devices.get(index) else {
            let why = format!("there are {} Vulkan devices, counted from 0, and no number {index}", devices.len());
            return Err(fault(DeviceFault::Absent, why));
        };
        let info = open::describe(index, physical);
        if let Some(lack) = &info.unusable {
            return Err(fault(DeviceFault::Unusable, format!("{}: {lack}; choose another or --device cpu", info.name)));
        }
        let wanted = options.precision == Precision::Half && !options.without_matrices;
        let units = Units::of(physical).filter(|_| wanted);
        let (device, queue) = open::open(physical.clone(), units.is_some())?;
        let properties = physical.properties();
        let limits = Limits {
            alignment: properties.min_storage_buffer_offset_alignment.as_devicesize().max(VECTOR),
            range: properties.max_storage_buffer_range.into(),
            shared: properties.max_compute_shared_memory_size as usize,
        };
        let cost = if info.kind == GpuKind::Software { SOFTWARE_COST } else { COST };
        let cache = options.pipeline_cache.as_deref();
        let tuning = options.tuning.or_else(|| pipelines::tuning(cache?, physical)).unwrap_or_default();
        let memory = Arc::new(Memory::new(&device));
        let line = Line {
            stream: Stream::new(&device, queue, cost),
            staging: Staging::new(memory.clone()),
            pipelines: Pipelines::new(&device, cache, units.map(|units| units.subgroup)),
        };
        let state = Arc::new(State {
            line: Mutex::new(line),
            pool: Pool::new(options.memory_budget),
            residents: Residents::default(),
            memory,
            info,
            work: Mutex::default(),
            limits,
            precision: options.precision,
            units,
            traffic: AtomicU64::new(0),
            unit_runs: AtomicU64::new(0),
            pipeline_cache: options.pipeline_cache,
            tuning,
        });
        Ok(Self(state, Run::new(options.cancel)))
    }

    /// A handle of the same device for another job.
    pub(crate) fn with_run(&self, run: Arc<Run>) -> Self {
        Self(self.0.clone(), run)
    }

    pub(crate) fn another(&self, cancel: Cancel) -> Result<Self> {
        let &State { precision, units, ref pipeline_cache, ref tuning, .. } = &*self.0;
        let (pipeline_cache, tuning) = (pipeline_cache.clone(), Some(tuning.clone()));
        let without_matrices = units.is_none();
        let options =
            DeviceOptions { cancel, precision, without_matrices, pipeline_cache, tuning, ..DeviceOptions::default() };
        Self::open(self.0.info.index, options)
    }

    /// Bytes of tensors that its shaders were given to read and write so far, each operand once for each run: what has to
    /// go through memory if nothing stays in caches from one run to the next, and no run reads twice.
    pub fn traffic(&self) -> u64 {
        self.0.traffic.load(Ordering::Relaxed)
    }

    /// How often matrix units did an op, or a part of it, so far.
    pub fn unit_runs(&self) -> u64 {
        self.0.unit_runs.load(Ordering::Relaxed)
    }

    /// How its shaders cut their work.
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    /// Rows, columns and terms of the products that matrix units do for it, if any do.
    pub fn matrices(&self) -> Option<[u32; 3]> {
        self.0.units.map(|units| units.shape)
    }

    /// What it is.
    pub fn info(&self) -> &GpuInfo {
        &self.0.info
    }

    pub(crate) fn job(&self) -> &Run {
        &self.1
    }

    /// What it was asked to do so far.
    pub(crate) fn work(&self) -> Work {
        *self.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to what it was asked to do.
    pub(super) fn count(&self, work: Work) {
        let mut done = self.0.work.lock().unwrap_or_else(PoisonError::into_inner);
        *done = *done + work;
    }

    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn pool_stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    pub(crate) fn precision(&self) -> Precision {
        self.0.precision
    }

    /// Bytes of memory that a workgroup shares at most.
    pub(crate) fn shared(&self) -> usize {
        self.0.limits.shared
    }

    /// The matrix units that shaders may use.
    pub(crate) fn units(&self) -> Option<Units> {
        self.0.units
    }

    pub(crate) fn budget(&self) -> Option<u64> {
        self.0.pool.budget()
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

    /// A buffer of at least `len` floats with unspecified contents.
    pub(crate) fn take(&self, len: usize) -> Result<Block> {
        let bytes = Memory::round((len as u64).saturating_mul(NUMBER as u64));
        self.with_room(bytes, || self.0.pool.take_or(bytes, || self.block(bytes)))
    }

    /// Takes a buffer back.
    ///
    /// Who gets it next writes to it after a barrier, as commands so far may use it.
    pub(crate) fn give(&self, block: Block) {
        self.0.pool.give(block);
    }

    /// A new buffer; for want of memory, what is kept goes first.
    pub(super) fn block(&self, bytes: u64) -> Result<Block> {
        self.0.memory.block(bytes).or_else(|error| match error {
            Error::OutOfMemory { budget: None, .. } => {
                self.0.pool.shed();
                self.wait()?;
                self.0.memory.block(bytes)
            }
            error => Err(error),
        })
    }

    /// Sizes of parts for a class, and bytes that a workgroup shares of them: of attention with heads of so many vectors.
    pub(crate) fn cut(&self, class: Class, vectors: usize) -> Cut {
        let fits = |cut: &Cut| class.shared_bytes(*cut, vectors) <= self.0.limits.shared;
        // Software drivers take minutes to compile what is larger.
        if class.is_for_units() && self.0.info.kind == GpuKind::Software {
            return Cut { group: [32, 32], own: [16, 16] };
        }
        let cuts = std::iter::once(self.0.tuning.cut(class)).chain(class.ever_smaller());
        cuts.clone().find(fits).or(cuts.last()).unwrap_or(class.usual())
    }

    /// Keeps the sizes that a device does best with in `folder`, where its pipelines are, for those who open it with that.
    pub(crate) fn save_tuning(&self, folder: &Path, tuning: &Tuning) -> std::io::Result<PathBuf> {
        self.line().pipelines.save_tuning(folder, tuning)
    }

    /// A panic elsewhere leaves the line as it was before a command or after it.
    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
