//! Kernels of the Zoetrope text-to-video engine: slices in, slices out.

mod arch;
mod exec;
mod gemm;
mod math;
mod probe;
mod scratch;
mod simd;
mod stored;
#[cfg(test)]
mod testing;

pub use exec::{Exec, Level, LevelError};
pub use gemm::{Activation, linear};
pub use probe::probe;
pub use stored::Stored;
