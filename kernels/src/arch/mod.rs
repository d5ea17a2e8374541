//! Backends of [`Simd`], the entry that compiles a kernel for each, and the crate's other unsafe corner, [`blocks`].

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vendor intrinsics and the target_feature entry")]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vendor intrinsics and the target_feature entry")]
mod avx512;
#[allow(unsafe_code, reason = "tasks write disjoint rectangles of one slice")]
pub(crate) mod blocks;
mod portable;
#[allow(unsafe_code, reason = "the prefetch instruction takes a pointer")]
mod prefetch;

use crate::Level;
use crate::simd::Kernel;

/// Runs a kernel with the instructions of `level`.
///
/// # Panics
///
/// If the machine lacks them: [`Level::detect`] and [`Level::available`] give none that it lacks.
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        Level::Portable => kernel.run(portable::Portable),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::Avx2::new().expect("this machine has no AVX2, FMA and F16C").run(kernel),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::Avx512::new().expect("this machine has no AVX-512 F, BW, DQ and VL").run(kernel),
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => panic!("this machine has no {level}"),
    }
}

/// Whether the machine can run `level`.
pub(crate) fn supports(level: Level) -> bool {
    match level {
        Level::Portable => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::Avx2::new().is_some(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::Avx512::new().is_some(),
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 => false,
    }
}
