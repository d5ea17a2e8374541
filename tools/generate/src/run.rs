//! From flags to a file.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgMatches;
use clap::parser::ValueSource;
use zoetrope::sampler::Grid;
use zoetrope::video::{self, FrameSink, SinkOptions, VideoInfo, Zoom};
use zoetrope::weights::Mapping;
use zoetrope::{
    Cancel, Device, DeviceOptions, Error, LatentsFile, Pipeline, Progress, Prompt, Request, Result, Steps, load_latents,
};

use crate::args::{Args, MAX_THREADS};
use crate::outputs::Outputs;
use crate::{memory, say};

/// Generates what the flags ask for.
pub fn run(args: &Args, matches: &ArgMatches) -> Result<()> {
    let (cancel, outputs) = (Cancel::default(), Outputs::default());
    if let Err(error) = outputs.on_interrupt(cancel.clone()) {
        say(&format!("generate: Ctrl-C will end the run without cleaning up: {error}"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads(args)?).build().map_err(|error| {
        let why = format!("the system does not give so many: {error}; ask for fewer with --threads");
        Error::Request { what: "threads", why }
    })?;
    let done = pool.install(|| generate(args, matches, cancel, &outputs));
    outputs.discard();
    let output = done?;
    if output == Path::new("-") {
        return Ok(());
    }
    // The path's own bytes, which need not be Unicode.
    let line = [output.as_os_str().as_encoded_bytes(), b"\n"].concat();
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&line).and_then(|()| stdout.flush()) {
        // Whoever closed a pipe does not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("generate: {} is complete, but its path could not be printed", output.display()));
            Err(Error::Io { doing: "write", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// How many threads were asked for; 0 for one on each core.
fn threads(args: &Args) -> Result<usize> {
    let variable = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse::<usize>().ok());
    match (args.threads, variable) {
        (Some(threads), _) => Ok(threads.into()),
        (None, Some(threads)) if threads > MAX_THREADS.into() => {
            let why = format!("{threads} is above {MAX_THREADS}; unset it, or choose with --threads");
            Err(Error::Request { what: "RAYON_NUM_THREADS", why })
        }
        _ => Ok(0),
    }
}

/// Everything that can be refused is refused before the first stage, whose work would be lost.
fn generate(args: &Args, matches: &ArgMatches, cancel: Cancel, outputs: &Outputs) -> Result<PathBuf> {
    let device =
        Device::cpu_with(DeviceOptions { cancel, memory_budget: memory::total(), ..DeviceOptions::default() })?;
    let prompt = args.prompt()?;
    let mut request = request(args, matches, &prompt)?;
    let mapping = if args.no_mmap { Mapping::Read } else { Mapping::Map };
    let pipeline = Pipeline::open(&args.model, mapping)?;
    let mut report = Report::new(args.quiet);
    if let Some(seconds) = args.seconds {
        request.frames = frames_of(seconds, &pipeline, request.fps)?;
        let length = request.frames as f64 / f64::from(request.fps);
        report.line(&format!("{} frames, {length:.2} s", request.frames));
    }
    let expected = pipeline.latent_shape(&request)?;
    pipeline.check_memory(&device, &request)?;
    if let Some(path) = &args.latents {
        let (found, values) = load_latents(path)?;
        if found != expected {
            let why = format!("{} holds {found:?}, this size needs {expected:?}", path.display());
            return Err(Error::Request { what: "latents", why });
        }
        request.latents = Some(values);
    }
    let output = args.output.clone().unwrap_or_else(|| default_output(&prompt, request.seed));
    if let Some(path) = args.save_latents.as_ref().filter(|path| same_file(path, &output)) {
        let why = format!("{} is the output too; choose another name", path.display());
        return Err(Error::Request { what: "save-latents", why });
    }
    let info = VideoInfo { width: request.width, height: request.height, fps: request.fps, frames: request.frames };
    let sink = open_sink(args, &output, &info)?;
    let latents = args.save_latents.as_ref().map(|path| LatentsFile::create(path, args.force)).transpose()?;
    outputs.hold(sink, latents);
    for warning in pipeline.warnings() {
        report.line(&format!("warning: {warning}"));
    }
    report.line(&format!("seed {}", request.seed));

    let latents = pipeline.sample(&device, &request, &mut |event| report.event(event))?;
    outputs.save(&latents)?;
    pipeline.decode(&device, &latents, request.fps, &mut outputs.clone(), &mut |event| report.event(event))?;
    Ok(output)
}

/// Whether two paths name one file, there or not.
fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    let whole = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    (real(a).is_some() && real(a) == real(b)) || (whole(a).is_some() && whole(a) == whole(b))
}

/// The model's nearest number of frames for so many seconds.
fn frames_of(seconds: f64, pipeline: &Pipeline, fps: u32) -> Result<usize> {
    if !(seconds > 0.0 && seconds < 1e6) {
        let why = format!("{seconds} is no length: it must be above 0, in seconds");
        return Err(Error::Request { what: "seconds", why });
    }
    Ok(pipeline.nearest_frames((seconds * f64::from(fps)).round() as usize))
}

fn request(args: &Args, matches: &ArgMatches, text: &str) -> Result<Request> {
    let steps_given = matches.value_source("steps") == Some(ValueSource::CommandLine);
    let steps = match &args.sigmas {
        Some(sigmas) => {
            Grid::custom(sigmas, steps_given.then_some(args.steps))?;
            Steps::Sigmas(sigmas.clone())
        }
        None => Steps::Schedule { schedule: args.schedule.into(), steps: args.steps, shift: args.shift },
    };
    let prompt = |text: &str| Prompt::Text(text.to_owned());
    Ok(Request {
        width: args.size.0,
        height: args.size.1,
        frames: args.frames,
        fps: args.fps,
        steps,
        sampler: args.sampler.map(Into::into),
        guidance: args.guidance,
        seed: args.seed.unwrap_or_else(|| u64::from(RandomState::new().build_hasher().finish() as u32)),
        ..Request::new(prompt(text), prompt(&args.negative_prompt))
    })
}

/// The sink that the path asks for, enlarging pixels if asked; refuses what it could not take.
fn open_sink(args: &Args, output: &Path, info: &VideoInfo) -> Result<Box<dyn FrameSink>> {
    if output.is_dir() && !output.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]) {
        let why = format!("{0} is a folder; write {0}/ for PNG frames in it", output.display());
        return Err(Error::Request { what: "output", why });
    }
    let options = SinkOptions { force: args.force, stdout: Some(Box::new(std::io::stdout())), comment: None };
    let sink = Zoom::new(video::open(output, options)?, args.zoom.into())?;
    sink.check(info)?;
    Ok(Box::new(sink))
}

/// The prompt's words and the seed.
fn default_output(prompt: &str, seed: u64) -> PathBuf {
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let slug: String = words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(48).collect();
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "video" } else { slug };
    // The best that this build can write.
    let ending = if video::formats().contains(&".mp4") { "mp4" } else { "gif" };
    PathBuf::from(format!("{slug}-{seed}.{ending}"))
}

/// The beginning of a text on one line, control characters escaped.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut start = String::new();
    for c in text.chars().take(LONGEST) {
        if c.is_control() {
            start.extend(c.escape_default());
        } else {
            start.push(c);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        start.push('…');
    }
    start
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
            Progress::Loading(stage) => self.line(&format!("loading the {stage}")),
            Progress::PromptCut { prompt, text } => {
                let which = if prompt == 0 { "prompt" } else { "negative prompt" };
                let (length, start) = (text.chars().count(), excerpt(&text));
                self.line(&format!(
                    "warning: the {which} is too long; its last {length} characters are not used: {start}"
                ));
            }
            Progress::Step { done, total } => self.count("step", done, total),
            Progress::Frame { done, total } => self.count("frame", done, total),
            _ => {}
        }
    }

    fn count(&mut self, what: &str, done: usize, total: usize) {
        if self.quiet {
            return;
        }
        let text = format!("  {what} {done}/{total}, {:.1} s", self.started.elapsed().as_secs_f64());
        if self.terminal {
            // A terminal that went away is no reason to end.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
            self.open_line = true;
        } else if done == total || what == "step" {
            say(&text);
        }
    }

    fn line(&mut self, text: &str) {
        self.done();
        if !self.quiet {
            say(text);
        }
    }

    /// Ends a line that is still open.
    fn done(&mut self) {
        if std::mem::take(&mut self.open_line) {
            say("");
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.done();
    }
}
