//! One job on a device: what stops it, and whether its layers are examined.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// Stops the work of every device handle that it was given to; clones share one flag.
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

    /// The flag itself, for kernels.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// A stage and the sampler's step in it, whose layers are examined one by one.
pub(crate) type Examined = (&'static str, Option<usize>);

/// What a handle of a device knows of the job that it serves. Jobs on one device do not see each other's.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub cancel: Cancel,
    examined: Mutex<Option<Examined>>,
}

impl Run {
    pub fn new(cancel: Cancel) -> Arc<Self> {
        Arc::new(Self { cancel, ..Self::default() })
    }

    /// [`Error::Cancelled`] once somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The stage and step whose layers are examined, while that is done.
    pub fn examined(&self) -> Option<Examined> {
        *self.examined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something `again` that ended in numbers that are not finite, now with an eye on each layer's result.
    ///
    /// Returns the error that names the first such layer; whatever else stopped the second attempt comes before it.
    pub fn examine<T>(&self, (stage, step): Examined, again: impl FnOnce() -> Result<T>) -> Error {
        let set = |value| *self.examined.lock().unwrap_or_else(PoisonError::into_inner) = value;
        set(Some((stage, step)));
        let outcome = again();
        set(None);
        outcome.err().unwrap_or(Error::NotFinite { stage, step, layer: None })
    }
}
