//! What is said of a failure.

use std::io::{ErrorKind, Write};

use program::errors;
use program::events::Event;
use program::target;
use zoetrope::Error;

use crate::stdout;

/// A line on standard error; one that nobody can read is no reason to end.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says what went wrong, as an event too if `json`; returns the exit status.
pub fn report(error: &Error, json: bool) -> u8 {
    let message = match error {
        Error::Cancelled => "interrupted".to_owned(),
        // Whoever read the video from a pipe has seen enough.
        Error::Io { path, source, .. } if source.kind() == ErrorKind::BrokenPipe && target::is_stream(path) => {
            return 0;
        }
        _ => error.to_string(),
    };
    if json {
        stdout::event(&Event::Error { kind: errors::kind(error), message: &message });
    }
    say(&format!("generate: {message}"));
    errors::exit_code(error)
}
