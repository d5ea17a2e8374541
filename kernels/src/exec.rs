//! Which instructions a kernel uses, and when it gives up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arch;
use crate::level::{Level, LevelError, VARIABLE};
use crate::simd::Kernel;

impl Level {
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
}

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
    fn portable_always_runs() {
        assert_eq!(Level::available()[0], Level::Portable);
        if std::env::var_os(VARIABLE).is_none() {
            assert_eq!(Level::detect().as_ref(), Ok(Level::available().last().unwrap()));
        }
    }
}
