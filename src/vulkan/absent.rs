//! What stands in the GPU's place in a build without the feature `vulkan`: types that have no value.

use std::convert::Infallible;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dispatch, GpuInfo, Kept, Units};
use crate::device::pool::PoolStats;
use crate::device::tuning::{Class, Cut, Tuning};
use crate::device::work::Work;
use crate::device::{Cancel, DeviceOptions, Precision, Run};
use crate::error::{DeviceFault, Error, Result};
use crate::tensor::Tensor;
use crate::weights::Weight;

/// A GPU; there is none in this build.
#[derive(Clone)]
pub struct Vulkan(Infallible);

/// A buffer on a GPU.
#[derive(Debug)]
pub(crate) struct Block(Infallible);

/// Where a weight keeps its copy on a GPU.
#[derive(Default)]
pub(crate) struct Slot;

const REMEDY: &str = "build with the feature `vulkan`";

impl Vulkan {
    pub(crate) fn list() -> Result<Vec<GpuInfo>> {
        Err(Error::Device { fault: DeviceFault::NotBuilt, why: REMEDY.into() })
    }

    pub(crate) fn open(_: usize, _: DeviceOptions) -> Result<Self> {
        Err(Error::Device { fault: DeviceFault::NotBuilt, why: REMEDY.into() })
    }

    pub(crate) fn another(&self, _: Cancel) -> Result<Self> {
        match self.0 {}
    }

    /// Bytes of tensors that its shaders were given to read and write so far.
    pub fn traffic(&self) -> u64 {
        match self.0 {}
    }

    /// How often matrix units did an op, or a part of it, so far.
    pub fn unit_runs(&self) -> u64 {
        match self.0 {}
    }

    /// How its shaders cut their work.
    pub fn tuning(&self) -> &Tuning {
        match self.0 {}
    }

    /// Rows, columns and terms of the products that matrix units do for it, if any do.
    pub fn matrices(&self) -> Option<[u32; 3]> {
        match self.0 {}
    }

    /// What it is.
    pub fn info(&self) -> &GpuInfo {
        match self.0 {}
    }

    pub(crate) fn with_run(&self, _: Arc<Run>) -> Self {
        match self.0 {}
    }

    pub(crate) fn job(&self) -> &Run {
        match self.0 {}
    }

    pub(crate) fn work(&self) -> Work {
        match self.0 {}
    }

    pub(crate) fn is(&self, _: &Self) -> bool {
        match self.0 {}
    }

    pub(crate) fn pool_stats(&self) -> PoolStats {
        match self.0 {}
    }

    pub(crate) fn precision(&self) -> Precision {
        match self.0 {}
    }

    pub(crate) fn shared(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn kept(&self, _: &Weight) -> Kept {
        match self.0 {}
    }

    pub(crate) fn units(&self) -> Option<Units> {
        match self.0 {}
    }

    pub(crate) fn budget(&self) -> Option<u64> {
        match self.0 {}
    }

    pub(crate) fn release_unused(&self) {
        match self.0 {}
    }

    pub(crate) fn wait(&self) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn timed(&self, _: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
        match self.0 {}
    }

    pub(crate) fn take(&self, _: usize) -> Result<Block> {
        match self.0 {}
    }

    pub(crate) fn give(&self, _: Block) {
        match self.0 {}
    }

    pub(crate) fn upload(&self, _: &Block, _: usize, _: &[f32]) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn download(&self, _: &Block, _: usize, _: usize) -> Result<Vec<f32>> {
        match self.0 {}
    }

    pub(crate) fn copy(&self, _: (&Tensor, Range<usize>), _: (&Tensor, Range<usize>), _: Work) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn fill_zero(&self, _: &Block, _: usize, _: Work) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn cut(&self, _: Class, _: usize) -> Cut {
        match self.0 {}
    }

    pub(crate) fn save_tuning(&self, _: &Path, _: &Tuning) -> std::io::Result<PathBuf> {
        match self.0 {}
    }

    pub(crate) fn parts(&self, _: usize, _: usize) -> Vec<Range<usize>> {
        match self.0 {}
    }

    pub(crate) fn parts_of_weight(&self, _: &Weight, _: usize) -> Vec<Range<usize>> {
        match self.0 {}
    }

    pub(crate) fn sees(&self, _: usize) -> bool {
        match self.0 {}
    }

    pub(crate) fn run(&self, _: Work, _: Dispatch) -> Result<()> {
        match self.0 {}
    }
}
