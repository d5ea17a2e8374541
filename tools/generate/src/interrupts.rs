//! Signals: interrupts, and memory that is gone.

use std::process;
use std::thread;
use std::time::{Duration, Instant};

use program::outputs::Outputs;
use program::signals::{self, LostPage};
use zoetrope::{Cancel, Error};

use crate::failure::{self, say};

/// How long work that was asked to stop may take before the process ends without it.
const GRACE: Duration = Duration::from_millis(600);

/// Handles interrupts and lost pages from now on, so that nothing incomplete is left; `json` asks for events that say what happened.
pub fn handle(outputs: &Outputs, cancel: Cancel, json: bool) {
    if let Err(error) = on_interrupt(outputs.clone(), cancel, json) {
        say(&format!("generate: Ctrl-C will end the run without cleaning up: {error}"));
    }
    let held = outputs.clone();
    // Without it a truncated file ends the process as it ends any other.
    let _ = signals::on_lost_page(move |page| {
        discard(&held);
        process::exit(failure::report(&unreadable(page), json).into());
    });
}

/// SIGINT and SIGTERM: the first asks the work to stop and ends the process if it does not, the second ends it at once.
fn on_interrupt(outputs: Outputs, cancel: Cancel, json: bool) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            outputs.try_discard();
            process::exit(130);
        }
        cancel.cancel();
        let outputs = outputs.clone();
        thread::spawn(move || {
            thread::sleep(GRACE);
            // A video that is being completed at this moment is completed.
            if outputs.abandon() {
                process::exit(failure::report(&Error::Cancelled, json).into());
            }
        });
    })
}

/// Removes what is incomplete; not for ever waiting for a thread that has stopped for good.
fn discard(outputs: &Outputs) {
    let start = Instant::now();
    while !outputs.try_discard() && start.elapsed() < GRACE {
        thread::sleep(Duration::from_millis(10));
    }
}

fn unreadable(page: LostPage) -> Error {
    let why = "it became shorter while it was in use, or its disk failed; fetch it again if it is damaged, and leave files \
               alone while they are in use or read them into memory first with --no-mmap";
    let path = page.file.unwrap_or_else(|| "a mapped file".into());
    Error::Io { doing: "read", path, source: std::io::Error::other(why) }
}
