//! `kernel-bench`: how fast the ops of a video model are on this device, and how close to its limit.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use kernel_bench::args::{Args, Command, Compare, Estimate, Hardware, Report, Run, Tune};
use kernel_bench::devices::{self, Opened};
use kernel_bench::estimate;
use kernel_bench::run::{self, Options};
use kernel_bench::{compare, report, show, tune};
use program::{signals, streams};
use speeds::error::{Error, Result};
use speeds::results::{self, DeviceResults, Results, Storage};
use speeds::saved;
use speeds::suite::Suite;
use zoetrope::Precision;

/// The exit status of something that got slower or is wrong, and of trouble.
const WORSE: u8 = 1;
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    signals::ignore_file_size_signal();
    let outcome = match Args::parse().command {
        Command::Devices => run::with_threads(None, devices::list).and_then(|text| print(&text)).map(|()| true),
        Command::Peak(hardware) => peaks(&hardware).map(|()| true),
        Command::Run(run) => measure(&run),
        Command::Compare(files) => compared(&files),
        Command::Estimate(asked) => estimated(&asked).map(|()| true),
        Command::Report(files) => reported(&files).map(|()| true),
        Command::Tune(asked) => tuned(&asked).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => WORSE.into(),
        Err(error) => {
            say(&format!("kernel-bench: {error}\n"));
            TROUBLE.into()
        }
    }
}

fn threads(hardware: &Hardware) -> Option<usize> {
    hardware.threads.map(usize::from)
}

fn peaks(hardware: &Hardware) -> Result<()> {
    let measured = run::with_threads(threads(hardware), || run::peaks(&hardware.devices))?;
    let mut text = String::new();
    for (opened, peak) in measured {
        let (device, warnings, rows) = (opened.info, Vec::new(), Vec::new());
        let device = DeviceResults { device, peak, clocks: None, warnings, rows };
        text.push_str(&format!("{}\n  {}\n", show::heading(&device), show::peak(&device.peak)));
    }
    print(&text)
}

/// Whether all results were right.
fn measure(flags: &Run) -> Result<bool> {
    let options = Options {
        devices: flags.hardware.devices.clone(),
        suite: flags.suite,
        ops: flags.ops.clone(),
        precision: flags.precision.clone(),
        activations: if flags.half { Precision::Half } else { Precision::Full },
        seconds: flags.time,
    };
    let results = with_progress(&options, threads(&flags.hardware))?;
    if let Some(path) = &flags.json {
        results::write(path, &results.to_json())?;
    }
    // Some of the ops alone would not do for an estimate, nor do other types than its own.
    if let Some(folder) = saved::folder().filter(|_| flags.ops.is_empty() && !flags.half) {
        saved::save(&folder, &results).unwrap_or_else(|error| say(&format!("kernel-bench: not kept: {error}\n")));
    }
    print(&show::results(&results, flags.format))?;
    let measured = results.devices.iter().flat_map(|device| &device.rows).filter_map(|row| row.measured.as_ref());
    Ok(!measured.into_iter().any(|measured| measured.error.wrong))
}

/// A run that says where it is, if somebody looks.
fn with_progress(options: &Options, threads: Option<usize>) -> Result<Results> {
    shown(|progress| run::with_threads(threads, || run::run(options, progress)))
}

/// Something that says where it is, if somebody looks.
fn shown<T>(work: impl FnOnce(&mut (dyn FnMut(&str) + Send)) -> Result<T>) -> Result<T> {
    let shown = std::io::stderr().is_terminal();
    let done = work(&mut |doing| {
        if shown {
            say(&format!("\r\x1b[2K{doing}"));
        }
    });
    if shown {
        say("\r\x1b[2K");
    }
    done
}

/// Whether nothing got slower.
fn compared(flags: &Compare) -> Result<bool> {
    let read = |path: &std::path::PathBuf| Results::read(path);
    let files = flags.files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let mut same = true;
    for (path, after) in flags.files.iter().zip(&files).skip(1) {
        let comparison = compare::compare(&files[0], after, flags.threshold)?;
        same &= !comparison.regressed();
        print(&format!("{} against {}\n\n{}", path.display(), flags.files[0].display(), comparison.text()))?;
    }
    Ok(same)
}

fn estimated(flags: &Estimate) -> Result<()> {
    let sizes = flags.model.sizes()?;
    let mut clip = sizes.clip;
    (clip.width, clip.height) = flags.size.unwrap_or((clip.width, clip.height));
    clip.frames = flags.frames.unwrap_or(clip.frames);
    clip.steps = flags.steps.unwrap_or(clip.steps);
    clip.text = flags.text_tokens.unwrap_or(clip.text);
    // What cannot be made is said before anything is measured.
    sizes.work(&clip)?;
    let devices = match &flags.file {
        Some(path) => Results::read(path)?.devices,
        None => known(&flags.hardware)?,
    };
    for device in &devices {
        let parts = speeds::estimate::estimate(&sizes, &clip, device)?;
        print(&estimate::text(flags.model, &clip, device, &parts))?;
    }
    Ok(())
}

/// What `run` kept of the devices; of those of which nothing is kept, what the quick suite finds now.
fn known(hardware: &Hardware) -> Result<Vec<DeviceResults>> {
    let kept = run::with_threads(threads(hardware), || {
        let find = |opened: Opened| saved::find(&saved::folder()?, &opened.device);
        Ok(devices::open(&hardware.devices, Precision::Full)?.into_iter().map(find).collect::<Option<Vec<_>>>())
    })?;
    if let Some(kept) = kept {
        kept.iter().for_each(|saved| say(&format!("{}: measured {}\n", saved.device.device.id, saved.date)));
        return Ok(kept.into_iter().map(|saved| saved.device).collect());
    }
    let (suite, precision, devices) = (Suite::Quick, vec![Storage::Bf16], hardware.devices.clone());
    let (ops, activations) = (Vec::new(), Precision::Full);
    let options = Options { devices, suite, ops, precision, activations, seconds: 3.0 };
    Ok(with_progress(&options, threads(hardware))?.devices)
}

fn reported(flags: &Report) -> Result<()> {
    let files = flags.files.iter().map(|path| Results::read(path)).collect::<Result<Vec<_>>>()?;
    results::write(&flags.output, &report::page(&files)?)?;
    print(&format!("{}\n", flags.output.display()))
}

fn tuned(flags: &Tune) -> Result<()> {
    let named = !flags.devices.is_empty();
    let gpus: Vec<Opened> = devices::open(&flags.devices, Precision::Full)?
        .into_iter()
        .filter(|opened| named || opened.device.is_gpu())
        .collect();
    if gpus.is_empty() {
        let why = "there is no GPU to tune; software drivers have to be named".into();
        return Err(Error::Request { what: "device", why });
    }
    for opened in gpus {
        let (found, file) = shown(|progress| tune::tune(&opened.device, flags.time, progress))?;
        let (name, kept) = (&opened.info.name, file.map(|file| format!("kept in {}\n", file.display())));
        print(&format!("{}: {name}\n\n{}\n{}", opened.info.id, tune::text(&found), kept.unwrap_or_default()))?;
    }
    Ok(())
}

/// Writes to standard output; whoever closed the pipe has read enough.
fn print(text: &str) -> Result<()> {
    Ok(streams::write(&mut std::io::stdout().lock(), text.as_bytes())?)
}

/// Writes to standard error, which may be closed.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
