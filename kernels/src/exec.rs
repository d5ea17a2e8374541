//! Which instructions a kernel uses, and when it gives up.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arch;
use crate::simd::Kernel;

/// A set of vector instructions that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// What the build's target has everywhere: SSE2 on x86-64, NEON on AArch64.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

/// The environment variable that forces a level.
const VARIABLE: &str = "ZOETROPE_SIMD";

impl Level {
    /// All levels, the slowest first.
    const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The fastest level of this machine, or the one that `ZOETROPE_SIMD` names (`portable`, `avx2` or
    /// `avx512`); decided once.
    ///
    /// # Errors
    ///
    /// [`LevelError`] if the variable names no level, or one that this machine cannot run.
    pub fn detect() -> Result<Self, LevelError> {
        static DETECTED: OnceLock<Result<Level, LevelError>> = OnceLock::new();
        DETECTED
            .get_or_init(|| match std::env::var_os(VARIABLE) {
                Some(name) => Self::named(&name.to_string_lossy(), Self::available()),
                None => Ok(*Self::available().last().unwrap_or(&Self::Portable)),
            })
            .clone()
    }

    /// The levels that this machine can run, the slowest first.
    pub fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Level>> = OnceLock::new();
        AVAILABLE.get_or_init(|| Self::ALL.into_iter().filter(|&level| arch::supports(level)).collect())
    }

    fn named(name: &str, available: &[Self]) -> Result<Self, LevelError> {
        let level = Self::ALL.into_iter().find(|level| level.to_string() == name);
        let level = level.ok_or_else(|| LevelError::Unknown(name.to_owned()))?;
        if available.contains(&level) { Ok(level) } else { Err(LevelError::Unavailable(level)) }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// Why no level could be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LevelError {
    /// The environment variable names no level.
    Unknown(String),
    /// The machine lacks the instructions that the environment variable asks for.
    Unavailable(Level),
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "{VARIABLE}={name:?} is not a SIMD level: set it to portable, avx2 or avx512, or unset it")
            }
            Self::Unavailable(level) => {
                write!(
                    f,
                    "{VARIABLE}={level} asks for instructions that this machine lacks: set it to portable or unset it"
                )
            }
        }
    }
}

impl std::error::Error for LevelError {}

/// How a kernel runs: with which instructions, and until when.
///
/// A kernel looks at `stop` between tiles, every few milliseconds at most. Once it is set the kernel returns early
/// with unspecified output, so the caller looks at the flag before it uses what was computed.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The instructions.
    pub level: Level,
    /// Set by another thread when the result is no longer wanted.
    pub stop: &'a AtomicBool,
}

impl Exec<'_> {
    /// Whether the result is no longer wanted.
    #[inline(always)]
    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs a kernel with the level's instructions on this thread: call it inside each parallel task.
    pub(crate) fn run<K: Kernel>(&self, kernel: K) -> K::Output {
        arch::dispatch(self.level, kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_named_or_refused() {
        assert_eq!(Level::named("portable", &[Level::Portable]), Ok(Level::Portable));
        assert_eq!(Level::named("avx2", &Level::ALL), Ok(Level::Avx2));
        let error = Level::named("avx2", &[Level::Portable]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ZOETROPE_SIMD=avx2 asks for instructions that this machine lacks: set it to portable or unset it"
        );
        let error = Level::named("AVX9", &Level::ALL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ZOETROPE_SIMD=\"AVX9\" is not a SIMD level: set it to portable, avx2 or avx512, or unset it"
        );
    }

    #[test]
    fn portable_always_runs() {
        assert_eq!(Level::available()[0], Level::Portable);
        if std::env::var_os(VARIABLE).is_none() {
            assert_eq!(Level::detect().as_ref(), Ok(Level::available().last().unwrap()));
        }
    }
}
