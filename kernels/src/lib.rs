//! Kernels of the Zoetrope text-to-video engine: slices in, slices out.

mod arch;
mod exec;
mod math;
mod simd;
mod stored;

pub use exec::{Exec, Level, LevelError};
pub use stored::Stored;
