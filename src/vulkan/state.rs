//! What a GPU handle consists of: data, and questions that the data answer.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::copies::Residents;
use super::info::{CooperativeMatrix, GpuInfo};
use super::memory::{Block, Memory};
use super::pipelines::Pipelines;
use super::staging::Staging;
use super::stream::Stream;
use crate::device::options::Precision;
use crate::device::pool::{Pool, PoolStats};
use crate::device::run::Run;
use crate::device::tuning::Tuning;
use crate::device::work::Work;

/// Bytes of an element of a tensor of F32.
pub(super) const NUMBER: usize = size_of::<f32>();

/// A GPU with a stream of work, a buffer pool and a stop flag; cheap to clone.
#[derive(Clone)]
pub struct Vulkan(pub(super) Arc<State>, pub(super) Arc<Run>);

pub(super) struct State {
    /// First, as it waits for what is under way before the rest goes.
    pub line: Mutex<Line>,
    pub pool: Arc<Pool<Block>>,
    pub residents: Residents,
    pub memory: Arc<Memory>,
    pub info: GpuInfo,
    pub work: Mutex<Work>,
    pub limits: Limits,
    pub precision: Precision,
    pub cooperative: Option<CooperativeMatrix>,
    /// Bytes of tensors that shaders have read and written, each operand once.
    pub traffic: AtomicU64,
    /// Dispatches of shaders that use cooperative matrices.
    pub cooperative_runs: AtomicU64,
    pub pipeline_cache: Option<PathBuf>,
    pub tuning: Tuning,
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
    /// The most bytes of a buffer that a binding holds.
    pub range: u64,
    /// Bytes of memory that a workgroup shares.
    pub shared: usize,
}

impl Limits {
    /// The most bytes of a buffer that a binding holds, wherever they begin.
    fn binding(&self) -> u64 {
        self.range - self.alignment
    }
}

impl Vulkan {
    /// What it is.
    pub fn info(&self) -> &GpuInfo {
        &self.0.info
    }

    /// The tile sizes of its shaders.
    pub fn tuning(&self) -> &Tuning {
        &self.0.tuning
    }

    pub(crate) fn job(&self) -> &Run {
        &self.1
    }

    /// A handle of the same device for another job.
    pub(crate) fn with_run(&self, run: Arc<Run>) -> Self {
        Self(self.0.clone(), run)
    }

    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn pool_stats(&self) -> PoolStats {
        self.0.pool.stats()
    }

    pub(crate) fn budget(&self) -> Option<u64> {
        self.0.pool.budget()
    }

    pub(crate) fn precision(&self) -> Precision {
        self.0.precision
    }

    /// Bytes of memory that a workgroup shares at most.
    pub(crate) fn shared(&self) -> usize {
        self.0.limits.shared
    }

    /// The cooperative matrices that shaders may use.
    pub(crate) fn cooperative(&self) -> Option<CooperativeMatrix> {
        self.0.cooperative
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

    /// A panic elsewhere leaves the line as it was before a command or after it.
    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of so many numbers in parts that fit one binding: as a rule all of them.
    pub(crate) fn parts(&self, rows: usize, width: usize) -> Vec<Range<usize>> {
        let most = (self.0.limits.binding() / (width.max(1) * NUMBER) as u64).max(1) as usize;
        (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
    }

    /// Rows of a weight, of so many bytes each, in parts that fit one binding; even ones but for the last.
    pub(crate) fn parts_of_weight(&self, row_bytes: usize, rows: usize) -> Vec<Range<usize>> {
        let most = (self.0.limits.binding() / row_bytes.max(1) as u64 / 2 * 2).max(2) as usize;
        (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
    }

    /// Whether so many bytes fit one binding, wherever they begin.
    pub(crate) fn fits_binding(&self, bytes: usize) -> bool {
        bytes as u64 <= self.0.limits.binding()
    }
}
