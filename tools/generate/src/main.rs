//! `generate`: a prompt goes in, a video comes out.

mod args;
mod memory;
mod outputs;
mod run;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use zoetrope::{Error, SimdLevel};

use crate::args::Args;

fn main() -> ExitCode {
    let matches = Args::command().version(version()).get_matches();
    let outcome = Args::from_arg_matches(&matches)
        .map_err(Failure::Usage)
        .and_then(|args| run::run(&args, &matches).map_err(Failure::Run));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => error.exit(),
        Err(Failure::Run(error)) => {
            match error {
                Error::Cancelled => say("generate: interrupted"),
                _ => say(&format!("generate: {error}")),
            }
            ExitCode::from(exit_code(&error))
        }
    }
}

/// A line on stderr; one that nobody can read is no reason to end.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

enum Failure {
    Usage(clap::Error),
    Run(Error),
}

/// 1 failed, 2 asked for what cannot be, 130 interrupted.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Request { .. } => 2,
        Error::Cancelled => 130,
        _ => 1,
    }
}

/// The engine's version and the instruction set that its kernels use on this machine.
fn version() -> String {
    let simd = match SimdLevel::detect() {
        Ok(level) => level.to_string(),
        Err(error) => error.to_string(),
    };
    format!("{} (cpu: {simd})", env!("CARGO_PKG_VERSION"))
}
