//! What a run tells: bars on a terminal, now and then a line elsewhere, events for programs.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use program::events::{Counts, Event};
use program::plan::duration;

use crate::failure::say;
use crate::stdout;

/// How often a run tells of its steps where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

/// Tells of one run.
pub struct Report {
    quiet: bool,
    json: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    /// Steps and frames to come.
    totals: (usize, usize),
    /// When the present stage began, and when a line was last printed.
    stage: Instant,
    spoke: Instant,
}

impl Report {
    pub fn new(quiet: bool, json: bool) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, json, terminal, bar: None, totals: (0, 0), stage: now, spoke: now }
    }

    /// Takes an event of the job.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start { seed, frames, steps, .. } => {
                self.totals = (*steps, *frames);
                self.line(&format!("seed {seed}"));
            }
            Event::Note { message } => self.line(message),
            Event::Warning { message } => self.line(&format!("warning: {message}")),
            Event::Loading { stage, counts } => {
                self.end_bar();
                self.stage = Instant::now();
                self.line(&format!("loading the {stage}"));
                // The first step may take minutes.
                match counts {
                    Counts::Nothing => {}
                    Counts::Steps => self.start_bar("step", self.totals.0),
                    Counts::Frames => self.start_bar("frame", self.totals.1),
                }
            }
            Event::Step { step, steps, .. } => self.count("step", *step, *steps),
            Event::Frame { frame, frames, .. } => self.count("frame", *frame, *frames),
            Event::Done { .. } => self.end_bar(),
            Event::Plan(_) | Event::Error { .. } => {}
        }
        if self.json {
            stdout::event(event);
        }
    }

    /// A line for people.
    fn line(&self, text: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
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
