//! The processor: an instruction set, a buffer pool, counters.

use std::sync::{Arc, Mutex, PoisonError};

use zoetrope_kernels::{Exec, Level};

use super::dry_run::CountedWeights;
use super::options::{DeviceOptions, Precision};
use super::pool::Pool;
use super::run::{Cancel, Run};
use super::work::Work;
use crate::error::{Error, Result};

/// The processor with an instruction set and a buffer pool; cheap to clone.
#[derive(Clone)]
pub struct Cpu {
    state: Arc<State>,
    run: Arc<Run>,
}

struct State {
    level: Level,
    exact_conv: bool,
    /// Half only where work for a GPU is counted.
    precision: Precision,
    pool: Pool,
    work: Mutex<Work>,
    /// Matrices that models have asked for, where they are only counted.
    weights: Arc<CountedWeights>,
}

impl Cpu {
    pub(crate) fn open(options: DeviceOptions) -> Result<Self> {
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

    fn new(level: Level, exact_conv: bool, precision: Precision, pool: Pool, cancel: Cancel) -> Self {
        let (work, weights) = Default::default();
        Self { state: Arc::new(State { level, exact_conv, precision, pool, work, weights }), run: Run::new(cancel) }
    }

    /// A device that runs no kernel and has no memory but counts both.
    pub(crate) fn counting(level: Level, exact_conv: bool, precision: Precision) -> Self {
        Self::new(level, exact_conv, precision, Pool::counting(), Cancel::default())
    }

    /// The same for work of this processor.
    pub(crate) fn to_counting(&self) -> Self {
        Self::counting(self.state.level, self.state.exact_conv, self.state.precision)
    }

    /// A fresh device with this one's instructions and job.
    pub(crate) fn another(&self) -> Self {
        let State { level, exact_conv, precision, .. } = *self.state;
        Self { run: self.run.clone(), ..Self::new(level, exact_conv, precision, Pool::new(None), Cancel::default()) }
    }

    /// A handle of the same device for another job.
    pub(crate) fn with_run(&self, run: Arc<Run>) -> Self {
        Self { state: self.state.clone(), run }
    }

    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    pub(crate) fn job(&self) -> &Run {
        &self.run
    }

    /// Runs a kernel that fills or changes `out` and counts its work; a device that only counts leaves it at that.
    pub(crate) fn run(&self, work: Work, out: &mut [f32], kernel: impl FnOnce(Exec, &mut [f32])) {
        let mut done = self.state.work.lock().unwrap_or_else(PoisonError::into_inner);
        *done = *done + work;
        drop(done);
        if !self.pool().counts_only() {
            kernel(Exec { level: self.state.level, stop: self.run.cancel.flag() }, out);
        }
    }

    /// Whether convolutions may go by Winograd's algorithm.
    pub(crate) fn winograd(&self) -> bool {
        !self.state.exact_conv
    }

    pub(crate) fn level(&self) -> Level {
        self.state.level
    }

    pub(crate) fn precision(&self) -> Precision {
        self.state.precision
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.state.pool
    }

    pub(crate) fn work(&self) -> Work {
        *self.state.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a device that only counts adds up the bytes of matrices, which it does not read.
    pub(crate) fn counted_weights(&self) -> Option<&Arc<CountedWeights>> {
        self.pool().counts_only().then_some(&self.state.weights)
    }
}
