//! Errors as programs report them: a kind in one word, and an exit status.

use zoetrope::{DeviceFault, Error};

/// The cause of a failure in one word, as events name it.
pub fn kind(error: &Error) -> &'static str {
    match error {
        Error::Io { .. } => "io",
        Error::Checkpoint { .. } => "checkpoint",
        Error::Shape { .. } => "shape",
        Error::Config { .. } => "config",
        Error::Tokenizer { .. } => "tokenizer",
        Error::Request { .. } => "request",
        Error::OutOfMemory { .. } => "out_of_memory",
        Error::NotFinite { .. } => "not_finite",
        Error::Device { .. } => "device",
        Error::Cancelled => "interrupted",
        _ => "other",
    }
}

/// The exit status of a program that fails with this error: 1 failed, 2 asked for what cannot be done, 130 interrupted.
pub fn exit_code(error: &Error) -> u8 {
    use DeviceFault::{Absent, NoLoader, NotBuilt, Unusable};
    match error {
        Error::Request { .. } => 2,
        Error::Device { fault: NotBuilt | NoLoader | Absent | Unusable, .. } => 2,
        Error::Cancelled => 130,
        _ => 1,
    }
}
