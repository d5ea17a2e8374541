//! What a job reports while it runs.

use std::borrow::Cow;
use std::time::Instant;

use serde::Serialize;
use zoetrope::Progress;
use zoetrope::video::FrameRate;

/// An event of a job. As JSON it is one object whose `event` says which; readers pass over events that they do not know.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Everything was checked; the work begins.
    Start {
        /// Seed of the noise.
        seed: u64,
        /// Pixels in a row, before the zoom.
        width: usize,
        /// Rows, before the zoom.
        height: usize,
        /// Frames.
        frames: usize,
        /// Frames per second.
        fps: FrameRate,
        /// Sampling steps.
        steps: usize,
        /// The video's path.
        output: Cow<'a, str>,
    },
    /// Something for people to know that programs need not act on; it has no form in JSON.
    #[serde(skip)]
    Note {
        /// In words.
        message: Cow<'a, str>,
    },
    /// Something odd that is no reason to stop.
    Warning {
        /// In words.
        message: Cow<'a, str>,
    },
    /// A stage loads its weights.
    Loading {
        /// Which.
        stage: &'a str,
        /// Whether sampling steps are counted in it, or frames.
        #[serde(skip)]
        counts: Counts,
    },
    /// Sampling steps are done.
    Step {
        /// How many.
        step: usize,
        /// Of these.
        steps: usize,
        /// Seconds since the job was opened.
        seconds: f64,
    },
    /// Frames are decoded.
    Frame {
        /// How many.
        frame: usize,
        /// Of these.
        frames: usize,
        /// Seconds since the job was opened.
        seconds: f64,
    },
    /// The video is complete.
    Done {
        /// Its path.
        output: Cow<'a, str>,
        /// Seed of the noise.
        seed: u64,
        /// Seconds since the job was opened.
        seconds: f64,
    },
    /// What a run would take.
    Plan(PlanEvent),
    /// The job has failed.
    Error {
        /// [`kind`](crate::errors::kind), or `usage`.
        kind: &'a str,
        /// In words.
        message: &'a str,
    },
}

/// What a stage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Nothing.
    Nothing,
    /// Sampling steps.
    Steps,
    /// Frames.
    Frames,
}

/// Takes events as they happen.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>);

impl Event<'_> {
    /// A [`Event::Note`].
    pub fn note(message: impl Into<String>) -> Self {
        Event::Note { message: Cow::Owned(message.into()) }
    }

    /// A [`Event::Warning`].
    pub fn warning(message: impl Into<String>) -> Self {
        Event::Warning { message: Cow::Owned(message.into()) }
    }

    /// The event of the engine's progress in a job that was opened at `opened`.
    pub fn of(progress: Progress, opened: Instant) -> Option<Self> {
        let seconds = opened.elapsed().as_secs_f64();
        Some(match progress {
            Progress::Loading(stage) => {
                let counts = match stage {
                    zoetrope::Stage::VaeDecoder => Counts::Frames,
                    stage if stage.samples() => Counts::Steps,
                    _ => Counts::Nothing,
                };
                Event::Loading { stage: stage.name(), counts }
            }
            Progress::PromptCut { prompt, text } => {
                let which = if prompt == 0 { "prompt" } else { "negative prompt" };
                let (length, start) = (text.chars().count(), excerpt(&text));
                Event::warning(format!("the {which} is too long; its last {length} characters are not used: {start}"))
            }
            Progress::Step { done, total } => Event::Step { step: done, steps: total, seconds },
            Progress::Frame { done, total } => Event::Frame { frame: done, frames: total, seconds },
            _ => return None,
        })
    }
}

/// What a run would take.
#[derive(Debug, Serialize)]
pub struct PlanEvent {
    /// Pixels in a row, before the zoom.
    pub width: usize,
    /// Rows, before the zoom.
    pub height: usize,
    /// Frames.
    pub frames: usize,
    /// Sampling steps.
    pub steps: usize,
    /// The device.
    pub device: String,
    /// Worker threads.
    pub threads: usize,
    /// Stage by stage, in the order of a run.
    pub stages: Vec<StageEvent>,
    /// Bytes of memory at most.
    pub memory: u64,
    /// Bytes that the device has, or may use; none if that is not known.
    pub machine_memory: Option<u64>,
    /// Whether the run fits into them.
    pub fits: bool,
    /// Seconds of the whole run, estimated.
    pub seconds: f64,
    /// Where the speeds come from.
    pub speeds: String,
}

/// What one stage of a run would take.
#[derive(Debug, Serialize)]
pub struct StageEvent {
    /// Its name.
    pub stage: &'static str,
    /// Tokens that go through the model.
    pub tokens: usize,
    /// How often the model runs.
    pub rounds: usize,
    /// FLOP of linear layers.
    pub linear_flop: u64,
    /// FLOP of attention.
    pub attention_flop: u64,
    /// FLOP of convolutions.
    pub conv3d_flop: u64,
    /// Bytes that other ops read and write.
    pub moved_bytes: u64,
    /// Bytes of tensors at one time, at most.
    pub tensor_bytes: u64,
    /// Bytes of other working memory.
    pub other_bytes: u64,
    /// Bytes of weights as they are stored.
    pub weight_bytes: u64,
    /// Whether weights are copied into the device's memory.
    pub weights_copied: bool,
    /// Seconds, estimated.
    pub seconds: f64,
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
