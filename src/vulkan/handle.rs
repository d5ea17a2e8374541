//! Opening a GPU, and what it says of itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::copies::Residents;
use super::info::{CooperativeMatrix, GpuInfo, GpuKind};
use super::memory::Memory;
use super::open::{self, fault};
use super::pipelines::{self, Pipelines};
use super::staging::Staging;
use super::state::{Limits, Line, State, Vulkan};
use super::stream::Stream;
use crate::device::options::{DeviceOptions, Precision};
use crate::device::pool::Pool;
use crate::device::run::{Cancel, Run};
use crate::device::tuning::{Class, TileSizes, Tuning};
use crate::error::{DeviceFault, Result};

/// FLOP and bytes that one dispatch and one submission may cost at first: a tenth of a second on the slowest GPU that is any
/// use, far from where drivers lose patience.
const COST: u64 = 1 << 36;
/// The same of a driver that computes on the processor.
const SOFTWARE_COST: u64 = 1 << 33;
/// Bytes of the largest number of elements that a shader loads at a time.
const VECTOR: u64 = 64;

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
        let cooperative = CooperativeMatrix::of(physical).filter(|_| wanted);
        let (device, queue) = open::open(physical.clone(), cooperative.is_some())?;
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
            pipelines: Pipelines::new(&device, cache, cooperative.map(|matrix| matrix.subgroup)),
        };
        let state = Arc::new(State {
            line: Mutex::new(line),
            pool: Arc::new(Pool::new(options.memory_budget)),
            residents: Residents::default(),
            memory,
            info,
            work: Mutex::default(),
            limits,
            precision: options.precision,
            cooperative,
            traffic: AtomicU64::new(0),
            cooperative_runs: AtomicU64::new(0),
            pipeline_cache: options.pipeline_cache,
            tuning,
        });
        Ok(Self(state, Run::new(options.cancel)))
    }

    pub(crate) fn another(&self, cancel: Cancel) -> Result<Self> {
        let &State { precision, cooperative, ref pipeline_cache, ref tuning, .. } = &*self.0;
        let (pipeline_cache, tuning) = (pipeline_cache.clone(), Some(tuning.clone()));
        let without_matrices = cooperative.is_none();
        let options =
            DeviceOptions { cancel, precision, without_matrices, pipeline_cache, tuning, ..DeviceOptions::default() };
        Self::open(self.0.info.index, options)
    }

    /// Bytes of tensors that its shaders were given to read and write so far, each operand once for each dispatch: what has
    /// to go through memory if nothing stays in caches from one dispatch to the next, and none reads twice.
    pub fn traffic(&self) -> u64 {
        self.0.traffic.load(Ordering::Relaxed)
    }

    /// How many dispatches used cooperative matrices so far.
    pub fn cooperative_runs(&self) -> u64 {
        self.0.cooperative_runs.load(Ordering::Relaxed)
    }

    /// Rows, columns and terms of the cooperative matrices that it multiplies, if it uses them.
    pub fn matrices(&self) -> Option<[u32; 3]> {
        self.0.cooperative.map(|matrix| matrix.shape)
    }

    /// Tile sizes for a class that fit the memory of a workgroup; of attention with heads of so many vectors.
    pub(crate) fn tiles(&self, class: Class, vectors: usize) -> TileSizes {
        let fits = |tiles: &TileSizes| class.shared_bytes(*tiles, vectors) <= self.0.limits.shared;
        // Software drivers take minutes to compile what is larger.
        if class.is_cooperative() && self.0.info.kind == GpuKind::Software {
            return TileSizes { group: [32, 32], own: [16, 16] };
        }
        let tiles = std::iter::once(self.0.tuning.tiles(class)).chain(class.ever_smaller());
        tiles.clone().find(fits).or(tiles.last()).unwrap_or(class.usual())
    }

    /// Saves the tile sizes that a device does best with in `folder`, where its pipelines are, for those who open it with that.
    pub(crate) fn save_tuning(&self, folder: &Path, tuning: &Tuning) -> std::io::Result<PathBuf> {
        self.line().pipelines.save_tuning(folder, tuning)
    }
}
