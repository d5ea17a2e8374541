//! What goes to standard output: results, or events as lines of JSON.

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use program::events::Event;
use program::streams;
use zoetrope::{Error, Result};

/// The first failure to print an event: the run goes on, its exit status tells.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a result.
///
/// # Errors
/// Those of [`streams::write`].
pub fn print(bytes: &[u8]) -> Result<()> {
    streams::write(&mut io::stdout().lock(), bytes)
}

/// Prints an event as a line of JSON; a [note](Event::Note) has none.
pub fn event(event: &Event) {
    if matches!(event, Event::Note { .. }) {
        return;
    }
    let line = serde_json::to_string(event).expect("an event is numbers and text");
    let mut stdout = io::stdout().lock();
    let written = match streams::closed() {
        Some(error) => Err(error),
        None => writeln!(stdout, "{line}").and_then(|()| stdout.flush()),
    };
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// The error of events that could not be printed, if any could not.
pub fn failed_events() -> Option<Error> {
    let source = FAILED.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(Error::Io { doing: "write events to", path: streams::STDOUT.into(), source })
}
