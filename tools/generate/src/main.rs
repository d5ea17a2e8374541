//! `generate`: a prompt goes in, a video comes out.

mod args;
mod run;

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
            eprintln!("generate: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
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
