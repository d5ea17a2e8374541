//! What a run takes, before it starts: whether it fits, and how long it is.

use speeds::estimate::estimate;
use speeds::models::{Clip, Part, Sizes};
use speeds::saved::{self, Saved};
use zoetrope::plan::{Plan, Probe, StagePlan};
use zoetrope::{Device, Error, Pipeline, Prompt, Request, Result, Stage, Steps};

use crate::events::{Event, OnEvent, PlanEvent, StageEvent};

/// Runs that take longer, in seconds, are announced, with what would be cheaper.
const LONG: f64 = 600.0;

/// Fewer FLOP per second than any machine has that this engine runs on: a run that is short at this rate need not be
/// estimated any better.
const SLOWEST: f64 = 5e9;

/// The plan of a run that fits into the device's memory.
///
/// # Errors
/// [`Error::OutOfMemory`] if it does not; those of [`Pipeline::plan`].
pub fn fitting(pipeline: &Pipeline, device: &Device, request: &Request) -> Result<Plan> {
    let plan = pipeline.plan(device, request)?;
    check(&plan, device)?;
    Ok(plan)
}

/// Checks a plan against the device's memory.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn check(plan: &Plan, device: &Device) -> Result<()> {
    match device.memory_budget() {
        Some(total) if plan.least_memory() > total => {
            Err(Error::OutOfMemory { asked: plan.least_memory(), budget: Some(total) })
        }
        _ => Ok(()),
    }
}

/// How fast a device is: what kernel-bench measured of it, or else what a short probe finds.
pub enum Speeds {
    /// Results of kernel-bench, and the model's sizes.
    Measured(Box<Saved>, Box<Sizes>),
    /// A probe of half a second.
    Probed(Probe),
}

impl Speeds {
    /// The best that is known of a device for a pipeline's models.
    ///
    /// # Errors
    /// Those of [`Probe::measure`].
    pub fn of(device: &Device, pipeline: &Pipeline, request: &Request) -> Result<Self> {
        if let Some(saved) = saved::folder().and_then(|folder| saved::find(&folder, device)) {
            let sizes = Sizes::of(&pipeline.configs()?, clip(request));
            // Results of some of the ops alone do not do.
            if estimate(&sizes, &sizes.clip, &saved.device).is_ok() {
                return Ok(Self::Measured(Box::new(saved), Box::new(sizes)));
            }
        }
        Probe::measure(device).map(Self::Probed)
    }

    /// Seconds of each stage of a plan.
    pub fn times(&self, plan: &Plan, request: &Request) -> Vec<f64> {
        let parts = match self {
            Self::Measured(saved, sizes) => estimate(sizes, &clip(request), &saved.device).unwrap_or_default(),
            Self::Probed(_) => Vec::new(),
        };
        let measured = |stage: &StagePlan| {
            let parts = parts.iter().filter(|part| stage_of(part.part) == stage.stage);
            parts.map(|part| part.all).sum()
        };
        let seconds = |stage| match self {
            Self::Measured(..) => measured(stage),
            Self::Probed(probe) => stage.seconds(probe),
        };
        plan.stages.iter().map(seconds).collect()
    }

    /// Where they come from, in words.
    pub fn source(&self) -> String {
        match self {
            Self::Measured(saved, _) => format!("kernel-bench, {}", saved.date),
            Self::Probed(_) => "a probe of half a second".into(),
        }
    }
}

/// What a request asks for, as estimates take it.
fn clip(request: &Request) -> Clip {
    // An embedding's length is not known before it is padded; it is long for a prompt, and no more than that.
    let tokens = |prompt: &Prompt| match prompt {
        Prompt::Tokens(ids) => ids.len(),
        _ => 64,
    };
    let negative = if request.is_guided() { tokens(&request.negative_prompt) } else { 0 };
    let steps = match &request.steps {
        Steps::Schedule { steps, .. } => *steps,
        Steps::Sigmas(sigmas) => sigmas.len(),
    };
    let &Request { width, height, frames, .. } = request;
    Clip { width, height, frames, steps, text: [tokens(&request.prompt), negative] }
}

/// The stage of a plan that a part of an estimate belongs to.
fn stage_of(part: Part) -> Stage {
    match part {
        Part::TextEncoder => Stage::TextEncoder,
        Part::Gemm | Part::Attention | Part::Other => Stage::Transformer,
        Part::Vae => Stage::VaeDecoder,
    }
}

/// A plan of a job in numbers.
#[derive(Debug)]
pub struct Planned {
    /// What the engine plans.
    pub plan: Plan,
    /// The same with times, for programs.
    pub event: PlanEvent,
}

/// Plans a run and estimates its times; whether it fits is [`PlanEvent::fits`].
///
/// # Errors
/// Those of [`Pipeline::plan`] and of [`Speeds::of`].
pub fn planned(pipeline: &Pipeline, device: &Device, request: &Request) -> Result<Planned> {
    let plan = pipeline.plan(device, request)?;
    let speeds = Speeds::of(device, pipeline, request)?;
    let times = speeds.times(&plan, request);
    let (grid, _) = pipeline.schedule(request)?;
    let &Request { width, height, frames, .. } = request;
    let event = PlanEvent {
        width,
        height,
        frames,
        steps: grid.steps(),
        device: device.to_string(),
        threads: rayon::current_num_threads(),
        stages: plan.stages.iter().zip(&times).map(|(stage, &seconds)| stage_event(stage, seconds)).collect(),
        memory: plan.memory(),
        machine_memory: device.memory_budget(),
        fits: check(&plan, device).is_ok(),
        seconds: times.iter().sum(),
        speeds: speeds.source(),
    };
    Ok(Planned { plan, event })
}

fn stage_event(stage: &StagePlan, seconds: f64) -> StageEvent {
    let &StagePlan { stage, tokens, rounds, work, tensors, other, weights, weights_copied, .. } = stage;
    StageEvent {
        stage: stage.name(),
        tokens,
        rounds,
        linear_flop: work.linear,
        attention_flop: work.attention,
        conv3d_flop: work.conv3d,
        moved_bytes: work.moved,
        tensor_bytes: tensors,
        other_bytes: other,
        weight_bytes: weights,
        weights_copied,
        seconds,
    }
}

/// Notes how long a long run will take, and what would be cheaper, in the words of `generate`'s flags.
///
/// # Errors
/// Those of [`Speeds::of`].
pub fn announce(pipeline: &Pipeline, device: &Device, request: &Request, plan: &Plan, events: OnEvent) -> Result<()> {
    if plan.work().flop() as f64 <= LONG * SLOWEST {
        return Ok(());
    }
    let speeds = Speeds::of(device, pipeline, request)?;
    let seconds = speeds.times(plan, request).iter().sum();
    if seconds <= LONG {
        return Ok(());
    }
    events(Event::note(format!("this will take about {}; cheaper:", duration(seconds))));
    for (flags, request) in cheaper(request) {
        // A size may not be on this model's grid.
        if let Ok(plan) = pipeline.plan(device, &request) {
            let seconds = speeds.times(&plan, &request).iter().sum();
            events(Event::note(format!("  {flags:<38} about {}", duration(seconds))));
        }
    }
    Ok(())
}

/// Requests that ask for less, with the flags that make them.
fn cheaper(request: &Request) -> Vec<(String, Request)> {
    const FEW_STEPS: usize = 20;
    const FEW_FRAMES: usize = 33;
    let mut all = (String::new(), request.clone());
    let mut found = Vec::new();
    let mut add = |flags: String, change: &dyn Fn(&mut Request)| {
        let mut one = request.clone();
        change(&mut one);
        change(&mut all.1);
        all.0 = format!("{} {flags}", all.0).trim_start().to_owned();
        found.push((flags, one));
    };
    if let Steps::Schedule { schedule, steps, shift } = request.steps.clone()
        && steps > FEW_STEPS
    {
        add(format!("--steps {FEW_STEPS}"), &move |r| r.steps = Steps::Schedule { schedule, steps: FEW_STEPS, shift });
    }
    if request.frames > FEW_FRAMES {
        add(format!("--frames {FEW_FRAMES}"), &|r| r.frames = FEW_FRAMES);
    }
    // About half of each side, on Wan's grid.
    let [width, height] = [request.width, request.height].map(|side| (side as f64 * 0.58 / 16.0).round() as usize * 16);
    if width >= 256 && height >= 256 {
        add(format!("--size {width}x{height}"), &|r| (r.width, r.height) = (width, height));
    }
    if found.len() > 1 {
        found.push(all);
    }
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let said = [0.04, 9.4, 61.0, 119.4, 121.0, 3600.0, 7300.0, 360_000.0].map(duration);
        assert_eq!(said, ["0.0 s", "9.4 s", "61 s", "119 s", "2 min", "60 min", "2 h 1 min", "100 h 0 min"]);
    }
}
