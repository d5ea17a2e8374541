//! Results as they are written: `schema.json` describes the file, this reads and writes it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use zoetrope::weights;

use crate::case::Case;
use crate::error::{Error, Result};
use crate::machine::Host;
use crate::peak::{Limit, Peak};
use crate::suite::Suite;
use crate::timing::Timing;

/// The version of the file's form; a reader refuses others.
pub const SCHEMA: u32 = 1;

/// All of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the run ended, RFC 3339.
    pub date: String,
    /// What was measured.
    pub engine: Engine,
    /// Where.
    pub host: Host,
    /// The list of shapes.
    pub suite: Suite,
    /// The list's version.
    pub suite_version: u32,
    /// Seconds that each row was given.
    pub seconds_per_row: f64,
    /// A device after the other.
    pub devices: Vec<DeviceResults>,
}

/// The engine that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    /// Its version.
    pub version: String,
    /// SHA-256 of the manifest of its shaders.
    pub shaders: String,
}

/// The rows of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceResults {
    /// Which.
    pub device: DeviceInfo,
    /// What it can do at most, measured in the same run.
    pub peak: Peak,
    /// Clocks in MHz before and after, of a processor that tells.
    pub clocks: Option<[f64; 2]>,
    /// What a reader of the figures should know.
    pub warnings: Vec<String>,
    /// In the suite's order.
    pub rows: Vec<Row>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// What flags call it: `cpu`, `vulkan:0`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `cpu`, `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Who made it.
    pub vendor: Option<String>,
    /// The driver's name and version.
    pub driver: Option<String>,
    /// The version of Vulkan.
    pub api: Option<String>,
    /// Bytes of its memory.
    pub memory: Option<u64>,
    /// Whether it computes in half precision.
    pub f16: Option<bool>,
    /// Invocations in lockstep.
    pub subgroup: Option<u32>,
    /// The instruction set of a processor's kernels.
    pub level: Option<String>,
    /// Threads of a processor that were used.
    pub threads: Option<usize>,
    /// Bytes that cold rows went past to find nothing in a cache.
    pub cache: u64,
    /// A GPU's kinds of memory; files of earlier versions have none.
    #[serde(default)]
    pub heaps: Vec<Heap>,
    /// What a GPU takes at most.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// Rows, columns and terms of the products of F16 matrices with sums of F32 that a GPU has units for.
    #[serde(default)]
    pub matrices: Vec<[u32; 3]>,
}

/// A kind of memory of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heap {
    /// How much there is.
    pub bytes: u64,
    /// Whether it is the GPU's own.
    pub local: bool,
}

/// What a GPU takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a buffer that one binding of a shader holds.
    pub buffer_range: u64,
    /// Bytes of one allocation.
    pub allocation: u64,
    /// Bytes that a workgroup shares.
    pub shared: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
}

impl DeviceInfo {
    /// Whether rows of both may be taken for those of one device.
    pub fn same(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.threads == other.threads
    }

    /// Whether what was measured on this device holds for `other`: the same one with the same driver or instructions.
    pub fn measures(&self, other: &Self) -> bool {
        self.same(other) && self.driver == other.driver && self.level == other.level
    }
}

/// How numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
}

impl Storage {
    /// The engine's name of it.
    pub fn stored(self) -> weights::Storage {
        match self {
            Self::F32 => weights::Storage::F32,
            Self::F16 => weights::Storage::F16,
            Self::Bf16 => weights::Storage::BF16,
        }
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        self.stored().bytes_for([1]).expect("a number of its own")
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Storage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::Request { what: "precision", why: format!("{text:?} is not one of f32, f16, bf16") };
        [Self::F32, Self::F16, Self::Bf16].into_iter().find(|storage| storage.to_string() == text).ok_or_else(refuse)
    }
}

/// The types of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Types {
    /// Of its weight, if it has one.
    pub weights: Option<Storage>,
    /// Of its other operands and its result.
    pub activations: Storage,
    /// Of its sums.
    pub accumulate: Storage,
}

/// One op at one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The op and its shape.
    #[serde(flatten)]
    pub case: Case,
    /// The types.
    pub types: Types,
    /// Which of the engine's ways it went.
    pub path: String,
    /// Floating-point operations.
    pub flop: u64,
    /// Bytes that have to be read and written once.
    pub bytes: u64,
    /// Their ratio.
    pub flop_per_byte: f64,
    /// The figures, if it was measured.
    pub measured: Option<Measured>,
    /// Why there are none.
    pub skipped: Option<Skipped>,
}

impl Row {
    /// Whether rows of two files are about the same thing.
    pub fn joins(&self, other: &Self) -> bool {
        self.case == other.case && self.types == other.types
    }
}

/// The figures of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// With operands that no cache holds.
    pub cold: Timing,
    /// With the same operands each time, where a cache holds them and the row's time suffices.
    pub hot: Option<Timing>,
    /// 10^12 FLOP a second, cold.
    pub tflops: f64,
    /// 10^9 bytes a second, cold.
    pub gbs: f64,
    /// What keeps it from being faster, if that is known.
    pub limit: Option<Limit>,
    /// The least time that the measured peak allows as a share of the time it took.
    pub share: Option<f64>,
    /// The same of the time that threads ran, where arithmetic is the limit.
    pub thread_share: Option<f64>,
    /// How right the result was.
    pub error: ErrorFigures,
}

impl Measured {
    /// Times with the rates and shares that follow from them, on a device that can do so much at most.
    pub fn new(flop: u64, bytes: u64, peak: &Peak, cold: Timing, hot: Option<Timing>, error: ErrorFigures) -> Self {
        let (flop, bytes, seconds) = (flop as f64, bytes as f64, cold.summary.median);
        let bound = peak.bound(flop, bytes);
        let thread_bound = peak.thread_bound(flop, bytes).zip(cold.thread.as_ref());
        Self {
            tflops: flop / seconds / 1e12,
            gbs: bytes / seconds / 1e9,
            limit: bound.map(|(_, limit)| limit),
            share: bound.map(|(least, _)| least / seconds),
            thread_share: thread_bound.map(|(least, thread)| least / thread.summary.median),
            cold,
            hot,
            error,
        }
    }
}

/// How far a result was off, against sums in double precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorFigures {
    /// Places that were looked at.
    pub samples: usize,
    /// The largest difference; none if it is no number.
    pub max_abs: Option<f64>,
    /// Root mean square of the differences as a share of the values' own; none if it is no number.
    pub rel_rms: Option<f64>,
    /// What the latter may be.
    pub tolerance: f64,
    /// Whether it is more, or no number.
    pub wrong: bool,
}

/// Why a row has no figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// In words.
    pub why: String,
    /// Seconds of one run, estimated.
    pub seconds: Option<f64>,
}

impl Results {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Results`] if it is not of this form and version.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let wrong = |why: String| Error::Results { path: path.to_owned(), why };
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let not_results = |error: serde_json::Error| wrong(format!("not results of kernel-bench: {error}"));
        let version: Version = serde_json::from_str(&text).map_err(not_results)?;
        if version.schema != SCHEMA {
            let why = format!("written in form {}, this program reads {SCHEMA}; measure again", version.schema);
            return Err(wrong(why));
        }
        serde_json::from_str(&text).map_err(not_results)
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        // Maps with keys other than text are all that could not be written, and there are none.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What the suite is called, with its version.
    pub fn suite_name(&self) -> String {
        format!("{} {}", self.suite, self.suite_version)
    }

    /// Whether rows may be joined with those of `other`.
    pub fn joins(&self, other: &Self) -> bool {
        self.suite == other.suite && self.suite_version == other.suite_version
    }
}

/// Writes a file that appears when it is complete.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, text: &str) -> Result<()> {
    // A name that does not grow with the file's own, which may be as long as names can be.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let partial = path.with_file_name(format!(".results.partial-{}-{number}", std::process::id()));
    let written = fs::write(&partial, text).map_err(Error::io("write", path));
    let written = written.and_then(|()| fs::rename(&partial, path).map_err(Error::io("write", path)));
    written.inspect_err(|_| {
        // Nothing half-written stays.
        let _ = fs::remove_file(&partial);
    })
}

/// The engine that this program is built with.
pub fn engine() -> Engine {
    Engine { version: env!("CARGO_PKG_VERSION").to_owned(), shaders: zoetrope::internals::tuning::shaders() }
}
