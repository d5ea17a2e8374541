//! Measured speeds of devices: results of `kernel-bench run` as files, the user's own results, and estimates of how long a
//! model takes on a device.
//!
//! Programs that only read results need this crate alone; `kernel-bench` measures them.

pub mod case;
pub mod describe;
pub mod error;
pub mod estimate;
pub mod machine;
pub mod models;
pub mod peak;
pub mod results;
pub mod saved;
pub mod stats;
pub mod suite;
pub mod timing;

pub use error::{Error, Result};
