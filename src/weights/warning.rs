//! What is odd about a checkpoint and no reason to stop.

use std::fmt;
use std::path::PathBuf;

/// Something about a checkpoint that is worth telling and no reason to stop.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Tensors that the model does not use.
    Extra {
        /// The file, or the index of the files, that holds them.
        file: PathBuf,
        /// How many there are.
        count: usize,
        /// The first few names, sorted.
        names: Vec<String>,
    },
    /// Keys of a file that nothing here knows.
    UnknownKeys {
        /// The file.
        file: PathBuf,
        /// The keys, sorted.
        keys: Vec<String>,
    },
    /// A configuration names a part of the model that the weights do not have; the weights decide.
    WithoutTensors {
        /// The file, or the index of the files, that lacks the part's tensors.
        file: PathBuf,
        /// What the part is.
        part: &'static str,
        /// The keys of `config.json` that name it.
        keys: Vec<&'static str>,
    },
    /// A checkpoint that was distilled to a few steps, by a method whose sampler is not implemented.
    Distilled {
        /// The file that says so.
        file: PathBuf,
        /// The pipeline class that it names.
        class: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extra { file, count, names } => {
                let plural = if *count == 1 { "" } else { "s" };
                let more = if *count > names.len() { ", …" } else { "" };
                write!(f, "{}: {count} tensor{plural} not used: {}{more}", file.display(), names.join(", "))
            }
            Self::UnknownKeys { file, keys } => {
                write!(f, "{}: keys that are not known and not used: {}", file.display(), keys.join(", "))
            }
            Self::WithoutTensors { file, part, keys } => write!(
                f,
                "{}: has no tensors of {part}, though config.json names it ({}); the model runs without it",
                file.display(),
                keys.join(", ")
            ),
            Self::Distilled { file, class } => write!(
                f,
                "{}: {class} is distilled to 3 steps at the timesteps 1000, 757 and 522 without guidance, with new noise \
                 after each step; that sampler is not implemented, Euler's method at these noise levels comes close: \
                 --sampler euler --sigmas 1,0.757,0.522 --guidance 1",
                file.display()
            ),
        }
    }
}
