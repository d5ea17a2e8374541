//! Standard output as a place for results: closed from the start, full, or a pipe whose reader left.

use std::io::{self, ErrorKind, Write};

use zoetrope::{Error, Result};

use crate::signals;

/// What messages call standard output.
pub const STDOUT: &str = "standard output";

/// The error of a standard output that was closed before the program started; Rust puts the null device in its place, so
/// that writing there does not fail.
pub fn closed() -> Option<io::Error> {
    signals::stdout_was_closed().then(|| io::Error::other("it was closed before the program started"))
}

/// Writes a result to standard output (`out`) and flushes it. A reader that closed its pipe has read enough: no error.
///
/// # Errors
/// [`Error::Io`] if standard output was closed from the start or cannot be written.
pub fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    let written = match closed() {
        Some(error) => Err(error),
        None => out.write_all(bytes).and_then(|()| out.flush()),
    };
    match written {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "write", path: STDOUT.into(), source })
        }
        _ => Ok(()),
    }
}
