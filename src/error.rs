//! The one error type of the library.
#![deny(clippy::exhaustive_enums, reason = "errors of new kinds must not break who matches")]

use std::path::{Path, PathBuf};

use crate::tensor::shape::Shape;

/// What went wrong, typed to its cause; every variant names the thing and, where there is one, the remedy.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: "open", "map", "write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own answer.
        source: std::io::Error,
    },
    /// A checkpoint's file or tensor is not what the model needs.
    #[error("{}{}: {why}", file.display(), tensor.as_deref().map(|t| format!(", tensor {t}")).unwrap_or_default())]
    Checkpoint {
        /// The file at fault.
        file: PathBuf,
        /// The tensor at fault, if it is one.
        tensor: Option<String>,
        /// What was expected and what was found.
        why: String,
    },
    /// Two operands of an op do not fit.
    #[error("{op}: {left} and {right} do not fit: {why}")]
    Shape {
        /// The op.
        op: &'static str,
        /// The first operand's shape.
        left: Shape,
        /// The second operand's shape, or the shape that was expected.
        right: Shape,
        /// The rule that was broken.
        why: &'static str,
    },
    /// A configuration value is missing, malformed, contradictory or not supported.
    #[error("{}, {key}: {why}", file.display())]
    Config {
        /// The configuration file.
        file: PathBuf,
        /// The key at fault.
        key: String,
        /// What was expected and what was found.
        why: String,
    },
    /// tokenizer.json cannot be used, or a prompt cannot be tokenized.
    #[error("{}: {why}", file.display())]
    Tokenizer {
        /// The tokenizer file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A request asks for something that the model or the engine cannot do.
    #[error("{what}: {why}")]
    Request {
        /// The field of the request.
        what: &'static str,
        /// Why it cannot be done, with the nearest value that can.
        why: String,
    },
    /// A buffer does not fit into the memory budget, or the system has no more.
    #[error(
        "out of memory: {} asked for, {}; a smaller size or fewer frames need less",
        human(*asked),
        budget.map_or("the system has no more".to_owned(), |budget| format!("the budget is {}", human(budget)))
    )]
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes that may be held, if it was the budget that refused.
        budget: Option<u64>,
    },
    /// A stage produced NaN or infinity.
    #[error(
        "{stage} produced values that are not finite{}{}; the checkpoint may be damaged or may overflow in its storage type",
        step.map(|step| format!(" at step {step}")).unwrap_or_default(),
        layer.as_ref().map(|layer| format!(", first in {layer}")).unwrap_or_default()
    )]
    NotFinite {
        /// The stage: "text encoder", "transformer", "VAE decoder".
        stage: &'static str,
        /// The sampler's step, counted from 1.
        step: Option<usize>,
        /// The first layer whose result was not finite, as the checkpoint calls it: `blocks.17.ffn.net.2`.
        layer: Option<String>,
    },
    /// A GPU is absent, cannot be used or failed.
    #[error("{fault}: {why}")]
    Device {
        /// What happened.
        fault: DeviceFault,
        /// Which device, what it said, and what can be done.
        why: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// What can be wrong with a GPU.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFault {
    /// This build of the crate has no Vulkan.
    NotBuilt,
    /// The system has no Vulkan loader.
    NoLoader,
    /// There is no such device.
    Absent,
    /// The device or its driver lacks something that is needed.
    Unusable,
    /// The device stopped answering.
    Lost,
    /// The driver refused something that it should not have.
    Driver,
    /// Tensors of one op live on different devices.
    Elsewhere,
}

impl std::fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotBuilt => "this build has no Vulkan",
            Self::NoLoader => "there is no Vulkan here",
            Self::Absent => "no such device",
            Self::Unusable => "the device cannot be used",
            Self::Lost => "the device was lost",
            Self::Driver => "the driver failed",
            Self::Elsewhere => "tensors of different devices",
        })
    }
}

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] about `path`, for use with `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// An [`Error::Checkpoint`] about a whole file.
    pub(crate) fn file(file: &Path, why: impl Into<String>) -> Self {
        Self::Checkpoint { file: file.to_owned(), tensor: None, why: why.into() }
    }

    /// An [`Error::Checkpoint`] about one tensor of a file.
    pub(crate) fn tensor(file: &Path, tensor: &str, why: impl Into<String>) -> Self {
        Self::Checkpoint { file: file.to_owned(), tensor: Some(tensor.to_owned()), why: why.into() }
    }

    /// An [`Error::Config`] about one key of a file.
    pub(crate) fn config(file: &Path, key: &str, why: impl Into<String>) -> Self {
        Self::Config { file: file.to_owned(), key: key.to_owned(), why: why.into() }
    }
}

/// Bytes as a person reads them.
fn human(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{bytes} bytes"),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
