//! How a device is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use zoetrope_kernels::Level;

use super::run::Cancel;
use super::tuning::Tuning;
use crate::error::{Error, Result};

/// How exact the numbers are that a device's products work with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// F32 throughout.
    #[default]
    Full,
    /// Operands of matrix products, attention and convolutions are F16, on GPUs alone: half the memory and its traffic.
    ///
    /// Sums, the residual stream, statistics of norms and the time embedding stay F32, and so does what may pass the 65504
    /// that F16 ends at: the gated hidden layer of UMT5.
    Half,
}

/// What the name of a device at half precision ends with.
pub(super) const HALF: &str = ", half precision";

impl Precision {
    /// Divides a device's name, as it is displayed, into that without its precision, and the precision.
    pub fn of(name: &str) -> (&str, Self) {
        name.strip_suffix(HALF).map_or((name, Self::Full), |name| (name, Self::Half))
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Full, Self::Half].into_iter().find(|precision| precision.to_string() == text).ok_or_else(|| {
            Error::Request { what: "precision", why: format!("{text:?} is none; choose full, or half on a GPU") }
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Half => "half",
        })
    }
}

/// How a [`Device`](crate::Device) is opened.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The instruction set; the best of this machine if `None` (`ZOETROPE_SIMD=portable|avx2|avx512` overrides that choice).
    pub level: Option<Level>,
    /// Convolutions as direct sums, slower and with a fourth of the rounding error, never by Winograd's algorithm; a GPU
    /// knows no other way.
    pub exact_conv: bool,
    /// How exact the numbers are; a processor knows [`Precision::Full`] alone.
    pub precision: Precision,
    /// At half precision too a GPU's general units alone do the products, not those for matrices that it may have.
    pub without_matrices: bool,
    /// The most bytes of tensors in use at one time; no limit if `None`. On a GPU it bounds tensors and copies of weights
    /// together, and copies that are not in use are evicted for others.
    pub memory_budget: Option<u64>,
    /// A folder in which a GPU's driver keeps what it made of the shaders, so that the next start is quicker; none by
    /// default.
    pub pipeline_cache: Option<PathBuf>,
    /// How a GPU's shaders cut their work; what was kept for the device in that folder, or else the usual way, if `None`.
    pub tuning: Option<Tuning>,
    /// The flag that stops this device's work.
    pub cancel: Cancel,
}
