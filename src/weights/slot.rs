//! Where a weight keeps the copy that a device made of it.

use std::any::Any;
use std::sync::{Arc, Mutex};

/// A device's copy of a weight, if there is one: only the device that made it knows its type.
pub(crate) type Slot = Mutex<Option<Arc<dyn Any + Send + Sync>>>;
