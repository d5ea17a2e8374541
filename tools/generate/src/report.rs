//! What a run tells: bars on a terminal, now and then a line elsewhere, events for programs.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use zoetrope::{Error, Progress, Request, Stage};

use crate::plan::PlanEvent;

/// How often a run tells of its steps where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// A line on stderr; one that nobody can read is no reason to end.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What `--json` prints, one object a line; `event` says which. Programs pass over events that they do not know.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Everything was checked; the work begins.
    Start { seed: u64, width: usize, height: usize, frames: usize, fps: u32, steps: usize, output: Cow<'a, str> },
    /// Something odd that is no reason to stop.
    Warning { message: &'a str },
    /// A stage loads its weights.
    Loading { stage: &'a str },
    /// So many sampling steps are done.
    Step { step: usize, steps: usize, seconds: f64 },
    /// So many frames are decoded.
    Frame { frame: usize, frames: usize, seconds: f64 },
    /// The video is complete.
    Done { output: Cow<'a, str>, seed: u64, seconds: f64 },
    /// What `--plan` tells.
    Plan(PlanEvent<'a>),
    /// The run has failed.
    Error { kind: &'a str, message: &'a str },
}

impl Event<'_> {
    /// Prints the event; whoever closed the pipe does not want to know.
    pub fn print(&self) {
        let line = serde_json::to_string(self).expect("an event is numbers and text");
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}

/// The cause of a failure in one word, as `--json` names it.
pub fn kind(error: &Error) -> &'static str {
    match error {
        Error::Io { .. } => "io",
        Error::Checkpoint { .. } => "checkpoint",
        Error::Shape { .. } => "shape",
        Error::Config { .. } => "config",
        Error::Tokenizer { .. } => "tokenizer",
        Error::Request { .. } => "request",
        Error::OutOfMemory { .. } => "out_of_memory",
        Error::NotFinite { .. } => "not_finite",
        Error::Device { .. } => "device",
        Error::Cancelled => "interrupted",
        _ => "other",
    }
}

/// Tells of one run.
pub struct Report {
    quiet: bool,
    json: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    /// Steps and frames to come.
    totals: (usize, usize),
    started: Instant,
    /// When the present stage began, and when a line was last printed.
    stage: Instant,
    spoke: Instant,
}

impl Report {
    pub fn new(quiet: bool, json: bool) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, json, terminal, bar: None, totals: (0, 0), started: now, stage: now, spoke: now }
    }

    /// The work begins.
    pub fn start(&mut self, request: &Request, steps: usize, output: &Path) {
        self.totals = (steps, request.frames);
        self.line(&format!("seed {}", request.seed));
        if self.json {
            let &Request { seed, width, height, frames, fps, .. } = request;
            Event::Start { seed, width, height, frames, fps, steps, output: output.to_string_lossy() }.print();
        }
    }

    /// The video is complete.
    pub fn done(&mut self, request: &Request, output: &Path) {
        self.end_bar();
        if self.json {
            let seconds = self.started.elapsed().as_secs_f64();
            Event::Done { output: output.to_string_lossy(), seed: request.seed, seconds }.print();
        }
    }

    /// A line for people.
    pub fn line(&self, text: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Something odd that is no reason to stop.
    pub fn warning(&self, message: &str) {
        self.line(&format!("warning: {message}"));
        if self.json {
            Event::Warning { message }.print();
        }
    }

    /// The engine's progress.
    pub fn event(&mut self, event: Progress) {
        match event {
            Progress::Loading(stage) => {
                self.end_bar();
                self.stage = Instant::now();
                self.line(&format!("loading the {stage}"));
                if self.json {
                    Event::Loading { stage: stage.name() }.print();
                }
                // The first step may take minutes.
                match stage {
                    Stage::VaeDecoder => self.start_bar("frame", self.totals.1),
                    stage if stage.samples() => self.start_bar("step", self.totals.0),
                    _ => {}
                }
            }
            Progress::PromptCut { prompt, text } => {
                let which = if prompt == 0 { "prompt" } else { "negative prompt" };
                let (length, start) = (text.chars().count(), excerpt(&text));
                self.warning(&format!("the {which} is too long; its last {length} characters are not used: {start}"));
            }
            Progress::Step { done, total } => {
                self.count("step", done, total);
                if self.json {
                    Event::Step { step: done, steps: total, seconds: self.started.elapsed().as_secs_f64() }.print();
                }
            }
            Progress::Frame { done, total } => {
                self.count("frame", done, total);
                if self.json {
                    Event::Frame { frame: done, frames: total, seconds: self.started.elapsed().as_secs_f64() }.print();
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, what: &str, done: usize, total: usize) {
        if self.quiet {
            return;
        }
        let passed = self.stage.elapsed().as_secs_f64();
        let each = passed / done as f64;
        if done == total {
            self.end_bar();
            self.line(&format!("  {what} {done}/{total}, {}, {}", pace(what, each), duration(passed)));
            return;
        }
        let text = format!("{}, {} left", pace(what, each), duration(each * (total - done) as f64));
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.set_position(done as u64);
        } else if self.spoke.elapsed() >= EVERY {
            self.spoke = Instant::now();
            self.line(&format!("  {what} {done}/{total}, {text}"));
        }
    }

    fn start_bar(&mut self, what: &'static str, total: usize) {
        if self.quiet || !self.terminal {
            return;
        }
        let style = ProgressStyle::with_template("  {prefix} {pos}/{len} {wide_bar} {elapsed} {msg}");
        let style = style.expect("a fixed template").progress_chars("=> ");
        let bar = ProgressBar::new(total as u64).with_style(style).with_prefix(what);
        // Redrawn also while nothing happens: after a resize or a line of another program.
        bar.enable_steady_tick(Duration::from_secs(1));
        self.bar = Some(bar);
    }

    fn end_bar(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.end_bar();
    }
}

/// How long one takes, or how many a second.
fn pace(what: &str, seconds: f64) -> String {
    if seconds >= 1.0 { format!("{seconds:.1} s a {what}") } else { format!("{:.1} {what}s a second", 1.0 / seconds) }
}

/// A length of time as people say it.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let said = [0.04, 9.4, 61.0, 119.4, 121.0, 3600.0, 7300.0, 360_000.0].map(duration);
        assert_eq!(said, ["0.0 s", "9.4 s", "61 s", "119 s", "2 min", "60 min", "2 h 1 min", "100 h 0 min"]);
    }
}
