//! From flags to a file.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgMatches;
use clap::parser::ValueSource;
use zoetrope::video::{FrameSink, PngFolder, Y4m};
use zoetrope::weights::Mapping;
use zoetrope::{
    Cancel, Device, DeviceOptions, Error, Pipeline, Progress, Prompt, Request, Result, Steps, load_latents,
    save_latents,
};

use crate::args::Args;

/// Generates what the flags ask for.
pub fn run(args: &Args, matches: &ArgMatches) -> Result<()> {
    let cancel = Cancel::default();
    let handler = cancel.clone();
    // A second Ctrl-C finds the flag set and ends the process at once.
    let installed = ctrlc::set_handler(move || {
        if handler.is_cancelled() {
            std::process::exit(130);
        }
        handler.cancel();
    });
    if let Err(error) = installed {
        eprintln!("generate: Ctrl-C will end the run without cleaning up: {error}");
    }
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = args.threads {
        pool = pool.num_threads(threads.into());
    }
    let pool = pool.build().map_err(|error| Error::Request { what: "threads", why: error.to_string() })?;
    pool.install(|| generate(args, matches, cancel))
}

fn generate(args: &Args, matches: &ArgMatches, cancel: Cancel) -> Result<()> {
    let mapping = if args.no_mmap { Mapping::Read } else { Mapping::Map };
    let pipeline = Pipeline::open(&args.model, mapping)?;
    let mut request = request(args, matches)?;
    let expected = pipeline.latent_shape(&request)?;
    if let Some(path) = &args.latents {
        let (found, values) = load_latents(path)?;
        if found != expected {
            let why = format!("{} holds {found:?}, this size needs {expected:?}", path.display());
            return Err(Error::Request { what: "latents", why });
        }
        request.latents = Some(values);
    }
    let output = args.output.clone().unwrap_or_else(|| default_output(args.prompt(), request.seed));
    let mut sink = open_sink(&output, args.force)?;
    let mut report = Report::new(args.quiet);
    for warning in pipeline.warnings() {
        report.line(&format!("warning: {warning}"));
    }
    report.line(&format!("seed {}", request.seed));

    let device = Device::cpu_with(DeviceOptions { cancel, ..DeviceOptions::default() })?;
    let latents = pipeline.sample(&device, &request, &mut |event| report.event(event))?;
    if let Some(path) = &args.save_latents {
        save_latents(path, &latents)?;
    }
    pipeline.decode(&device, &latents, request.fps, sink.as_mut(), &mut |event| report.event(event))?;
    report.done();
    println!("{}", output.display());
    Ok(())
}

fn request(args: &Args, matches: &ArgMatches) -> Result<Request> {
    let steps_given = matches.value_source("steps") == Some(ValueSource::CommandLine);
    let steps = match &args.sigmas {
        Some(sigmas) => {
            let levels = sigmas.len() - usize::from(sigmas.last() == Some(&0.0));
            if steps_given && args.steps != levels {
                let why = format!("--sigmas has {levels} steps, --steps says {}: leave --steps out", args.steps);
                return Err(Error::Request { what: "steps", why });
            }
            Steps::Sigmas(sigmas.clone())
        }
        None => Steps::Schedule { schedule: args.schedule.into(), steps: args.steps, shift: args.shift },
    };
    let prompt = |text: &str| Prompt::Text(text.to_owned());
    Ok(Request {
        width: args.size.0,
        height: args.size.1,
        frames: args.frames,
        steps,
        sampler: args.sampler.map(Into::into),
        guidance: args.guidance,
        seed: args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish()),
        ..Request::new(prompt(args.prompt()), prompt(&args.negative_prompt))
    })
}

/// A folder of PNG frames if the path ends in a slash, else y4m.
fn open_sink(output: &Path, force: bool) -> Result<Box<dyn FrameSink>> {
    let ends_in_slash = output.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]);
    if ends_in_slash {
        return Ok(Box::new(PngFolder::create(output, force)?));
    }
    match output.extension().and_then(|extension| extension.to_str()) {
        Some("y4m") => Ok(Box::new(Y4m::create(output, force)?)),
        _ => {
            let why = format!("{} is neither a .y4m file nor a folder for PNG frames (ends in /)", output.display());
            Err(Error::Request { what: "output", why })
        }
    }
}

/// The prompt's words and the seed.
fn default_output(prompt: &str, seed: u64) -> PathBuf {
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let slug: String = words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(48).collect();
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "video" } else { slug };
    PathBuf::from(format!("{slug}-{seed}.y4m"))
}

/// Progress on stderr: one line that is written over on a terminal, a line for each stage elsewhere.
struct Report {
    quiet: bool,
    terminal: bool,
    open_line: bool,
    started: Instant,
}

impl Report {
    fn new(quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, terminal, open_line: false, started: Instant::now() }
    }

    fn event(&mut self, event: Progress) {
        match event {
            Progress::Loading(stage) => self.line(stage),
            Progress::PromptCut { prompt, text } => {
                let which = if prompt == 0 { "prompt" } else { "negative prompt" };
                self.line(&format!("the {which} is too long for the model; cut off: {text}"));
            }
            Progress::Step { done, total } => self.count("step", done, total),
            Progress::Frame { done, total } => self.count("frame", done, total),
            _ => {}
        }
    }

    fn count(&mut self, what: &str, done: usize, total: usize) {
        let text = format!("  {what} {done}/{total}, {:.1} s", self.started.elapsed().as_secs_f64());
        if self.quiet {
            return;
        }
        if self.terminal {
            eprint!("\r\x1b[K{text}");
            let _ = std::io::stderr().flush();
            self.open_line = true;
        } else if done == total || what == "step" {
            eprintln!("{text}");
        }
    }

    fn line(&mut self, text: &str) {
        self.done();
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// Ends a line that is still open.
    fn done(&mut self) {
        if std::mem::take(&mut self.open_line) {
            eprintln!();
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.done();
    }
}
