//! What stands in the GPU's place in a build without the feature `vulkan`: types that have no value.

use std::convert::Infallible;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::info::{CooperativeMatrix, GpuInfo};
use super::layout::GpuLayout;
use crate::device::options::{DeviceOptions, Precision};
use crate::device::pool::PoolStats;
use crate::device::run::{Cancel, Run};
use crate::device::tuning::{Class, TileSizes, Tuning};
use crate::device::work::Work;
use crate::error::{DeviceFault, Error, Result};

/// A GPU; there is none in this build.
#[derive(Clone)]
pub struct Vulkan(Infallible);

/// A buffer on a GPU.
#[derive(Debug)]
pub(crate) struct Block(Infallible);

const REMEDY: &str = "build with the feature `vulkan`";

impl Vulkan {
    pub(crate) fn list() -> Result<Vec<GpuInfo>> {
        Err(Error::Device { fault: DeviceFault::NotBuilt, why: REMEDY.into() })
    }

    pub(crate) fn open(_: usize, _: DeviceOptions) -> Result<Self> {
        Err(Error::Device { fault: DeviceFault::NotBuilt, why: REMEDY.into() })
    }

    /// Bytes of tensors that its shaders were given to read and write so far.
    pub fn traffic(&self) -> u64 {
        match self.0 {}
    }

    /// How many dispatches used cooperative matrices so far.
    pub fn cooperative_runs(&self) -> u64 {
        match self.0 {}
    }

    /// The tile sizes of its shaders.
    pub fn tuning(&self) -> &Tuning {
        match self.0 {}
    }

    /// Rows, columns and terms of the cooperative matrices that it multiplies, if it uses them.
    pub fn matrices(&self) -> Option<[u32; 3]> {
        match self.0 {}
    }

    /// What it is.
    pub fn info(&self) -> &GpuInfo {
        match self.0 {}
    }

    pub(crate) fn another(&self, _: Cancel) -> Result<Self> {
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

    pub(crate) fn cooperative(&self) -> Option<CooperativeMatrix> {
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

    pub(crate) fn copy(&self, _: (&Block, Range<usize>), _: (&Block, Range<usize>), _: Work) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn fill_zero(&self, _: &Block, _: usize, _: Work) -> Result<()> {
        match self.0 {}
    }

    pub(crate) fn is_finite(&self, _: &Block, _: usize, _: usize) -> Result<bool> {
        match self.0 {}
    }

    pub(crate) fn tiles(&self, _: Class, _: usize) -> TileSizes {
        match self.0 {}
    }

    pub(crate) fn save_tuning(&self, _: &Path, _: &Tuning) -> std::io::Result<PathBuf> {
        match self.0 {}
    }

    pub(crate) fn parts(&self, _: usize, _: usize) -> Vec<Range<usize>> {
        match self.0 {}
    }

    pub(crate) fn parts_of_weight(&self, _: usize, _: usize) -> Vec<Range<usize>> {
        match self.0 {}
    }

    pub(crate) fn fits_binding(&self, _: usize) -> bool {
        match self.0 {}
    }

    pub(crate) fn layout<W>(&self, _: &W) -> GpuLayout {
        match self.0 {}
    }

    pub(crate) fn run<D>(&self, _: Work, _: D) -> Result<()> {
        match self.0 {}
    }
}
