//! `generate`: a prompt goes in, a video comes out.

mod args;
mod failure;
mod interrupts;
mod report;
mod run;
mod self_test;
mod stdout;
mod table;

use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches};
use program::events::Event;
use program::recipe::Recipe;
use program::{bundled, devices, signals, streams};
use zoetrope::{Error, Result, SimdLevel};

use crate::args::Args;

fn main() -> ExitCode {
    signals::ignore_file_size_signal();
    let outcome = match Args::command().version(version()).try_get_matches() {
        Ok(matches) => Args::from_arg_matches(&matches),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(args) => match work(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::report(&error, args.json).into(),
        },
        Err(error) if error.use_stderr() => {
            // Flags that could not be understood may have asked for events.
            if std::env::args_os().any(|arg| arg == "--json") {
                stdout::event(&Event::Error { kind: "usage", message: error.to_string().trim_end() });
            }
            error.exit()
        }
        // The help and the version are results.
        Err(text) => match help(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure::report(&error, false).into(),
        },
    }
}

/// What the flags ask for.
fn work(args: &Args) -> Result<()> {
    if let Some(path) = &args.show_recipe {
        stdout::print(format!("{}\n", Recipe::read(path)?.to_pretty_json()).as_bytes())
    } else if let Some(folder) = &args.export_bundled {
        bundled::export(folder)?;
        stdout::print(&[folder.as_os_str().as_encoded_bytes(), b"\n"].concat())
    } else if args.list_devices {
        stdout::print(devices::list()?.to_string().as_bytes())
    } else if let Some(only) = &args.self_test {
        self_test::run(args, only)
    } else if let Some(shell) = args.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut manual(), "generate", &mut script);
        stdout::print(&script)
    } else if args.man {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(manual()).render(&mut page);
        rendered.map_err(|source| Error::Io { doing: "write", path: streams::STDOUT.into(), source })?;
        stdout::print(&page)
    } else {
        run::run(args)
    }
}

/// Prints the help or the version, in colours on a terminal.
fn help(text: &clap::Error) -> Result<()> {
    // Nothing is written where there is nobody to read it.
    stdout::print(b"")?;
    match text.print() {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "write", path: streams::STDOUT.into(), source })
        }
        // What is left in the buffer.
        _ => stdout::print(b""),
    }
}

/// The command as the manual page and completions show it: the same on every machine.
fn manual() -> Command {
    Args::command().version(env!("CARGO_PKG_VERSION"))
}

/// The engine's version and the instruction set that its kernels use on this machine.
fn version() -> String {
    let simd = match SimdLevel::detect() {
        Ok(level) => level.to_string(),
        Err(error) => error.to_string(),
    };
    format!("{} (cpu: {simd})", env!("CARGO_PKG_VERSION"))
}
