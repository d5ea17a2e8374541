//! The instruction sets that kernels are compiled for.

use std::fmt;

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
pub(crate) const VARIABLE: &str = "ZOETROPE_SIMD";

impl Level {
    /// All levels, the slowest first.
    pub(crate) const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The level of that name, if it is one of those that are available.
    pub(crate) fn named(name: &str, available: &[Self]) -> Result<Self, LevelError> {
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
}
