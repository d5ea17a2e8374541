//! `generate`: a prompt goes in, a video comes out.

mod args;
mod bundled;
mod devices;
mod memory;
mod outputs;
mod plan;
mod recipe;
mod report;
mod run;
mod self_test;
mod settings;
mod text_cache;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches};
use zoetrope::{DeviceFault, Error, Result, SimdLevel};

use crate::args::Args;
use crate::recipe::Recipe;
use crate::report::{Event, say};

fn main() -> ExitCode {
    let outcome = match Args::command().version(version()).try_get_matches() {
        Ok(matches) => Args::from_arg_matches(&matches),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(args) => match work(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error, args.json).into(),
        },
        Err(error) => {
            // Flags that could not be understood may have asked for events.
            if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
                Event::Error { kind: "usage", message: error.to_string().trim_end() }.print();
            }
            error.exit()
        }
    }
}

/// What the flags ask for.
fn work(args: &Args) -> Result<()> {
    if let Some(path) = &args.show_recipe {
        print(format!("{}\n", Recipe::read(path)?.to_pretty_json()).as_bytes())
    } else if let Some(folder) = &args.export_bundled {
        bundled::export(folder)?;
        print(&[folder.as_os_str().as_encoded_bytes(), b"\n"].concat())
    } else if args.list_devices {
        devices::list()
    } else if let Some(only) = &args.self_test {
        self_test::run(args, only)
    } else if let Some(shell) = args.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut manual(), "generate", &mut script);
        print(&script)
    } else if args.man {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(manual()).render(&mut page);
        rendered.map_err(|source| Error::Io { doing: "write", path: "standard output".into(), source })?;
        print(&page)
    } else {
        run::run(args)
    }
}

/// The command as the manual page and completions show it: the same on every machine.
fn manual() -> Command {
    Args::command().version(env!("CARGO_PKG_VERSION"))
}

/// Writes a result to standard output; whoever closed the pipe has read enough.
fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "write", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Says what went wrong; the exit status: 1 failed, 2 asked for what cannot be, 130 interrupted.
fn failed(error: &Error, json: bool) -> u8 {
    let message = match error {
        Error::Cancelled => "interrupted".to_owned(),
        // Whoever read the video from a pipe has seen enough.
        Error::Io { path, source, .. } if source.kind() == ErrorKind::BrokenPipe && path.as_os_str() == "-" => {
            return 0;
        }
        _ => error.to_string(),
    };
    if json {
        Event::Error { kind: report::kind(error), message: &message }.print();
    }
    say(&format!("generate: {message}"));
    match error {
        Error::Request { .. } => 2,
        Error::Device {
            fault: DeviceFault::NotBuilt | DeviceFault::NoLoader | DeviceFault::Absent | DeviceFault::Unusable,
            ..
        } => 2,
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
