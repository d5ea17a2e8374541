//! From flags to a file.

use std::path::Path;

use program::events::Event;
use program::job::Job;
use program::outputs::Outputs;
use program::target;
use program::threads;
use zoetrope::{Cancel, Error, Result};

use crate::args::Args;
use crate::failure::say;
use crate::report::Report;
use crate::{interrupts, stdout, table};

/// Generates what the flags ask for, or plans it.
pub fn run(args: &Args) -> Result<()> {
    let (cancel, outputs) = (Cancel::default(), Outputs::default());
    interrupts::handle(&outputs, cancel.clone(), args.json);
    let (options, target) = (args.job(cancel)?, args.target()?);
    let done = threads::pool(args.threads)?.install(|| {
        let mut report = Report::new(args.quiet, args.json);
        let job = Job::open(options, &mut |event| report.event(&event))?;
        if args.plan {
            plan(&job, args.json).map(|()| None)
        } else {
            job.run(target, &outputs, &mut |event| report.event(&event)).map(Some)
        }
    });
    outputs.discard();
    let output = done?;
    if let Some(error) = stdout::failed_events() {
        if let Some(output) = output {
            say(&format!("generate: {} is complete, but not all of its events could be printed", output.display()));
        }
        return Err(error);
    }
    match output {
        Some(output) if !args.json && !target::is_stream(&output) => print_path(&output),
        _ => Ok(()),
    }
}

/// Prints what the run would take.
///
/// # Errors
/// [`Error::OutOfMemory`] if it does not fit, after the plan is printed.
fn plan(job: &Job, json: bool) -> Result<()> {
    let planned = job.planned()?;
    let fits = job.check_memory(&planned.plan);
    if json {
        stdout::event(&Event::Plan(planned.event));
    } else {
        stdout::print(table::of(job, &planned).as_bytes())?;
    }
    fits
}

/// The one line of a run on standard output.
fn print_path(output: &Path) -> Result<()> {
    // The path's own bytes, which need not be Unicode.
    let line = [output.as_os_str().as_encoded_bytes(), b"\n"].concat();
    stdout::print(&line).inspect_err(|_: &Error| {
        say(&format!("generate: {} is complete, but its path could not be printed", output.display()));
    })
}
