//! What a run takes, before it starts.

use kernel_bench::estimate::estimate;
use kernel_bench::models::{Clip, Part, Sizes};
use kernel_bench::saved::{self, Saved};
use serde::Serialize;
use zoetrope::plan::{Plan, Probe, StagePlan};
use zoetrope::{Device, Error, Pipeline, Prompt, Request, Result, Stage, Steps};

use crate::print;
use crate::report::{Event, Report, duration};
use crate::run::Job;

/// Runs that take longer are announced, with what would be cheaper.
const LONG: f64 = 600.0;

/// Fewer FLOP a second than any machine has that this engine runs on: a run that is short at this rate need not be
/// estimated any better.
const SLOWEST: f64 = 5e9;

/// A plan as `--json` prints it.
#[derive(Serialize)]
pub struct PlanEvent<'a> {
    width: usize,
    height: usize,
    frames: usize,
    steps: usize,
    device: String,
    threads: usize,
    stages: Vec<StageEvent<'a>>,
    memory: u64,
    machine_memory: Option<u64>,
    fits: bool,
    seconds: f64,
    /// What speeds the times come of.
    speeds: String,
}

#[derive(Serialize)]
struct StageEvent<'a> {
    stage: &'a str,
    tokens: usize,
    rounds: usize,
    linear_flop: u64,
    attention_flop: u64,
    conv3d_flop: u64,
    moved_bytes: u64,
    tensor_bytes: u64,
    other_bytes: u64,
    weight_bytes: u64,
    weights_copied: bool,
    seconds: f64,
}

/// The plan of a run that fits into the device's memory.
///
/// # Errors
/// [`Error::OutOfMemory`] if it does not.
pub fn fits(job: &Job) -> Result<Plan> {
    let plan = job.pipeline.plan(&job.device, &job.settings.request)?;
    check(job, &plan)?;
    Ok(plan)
}

fn check(job: &Job, plan: &Plan) -> Result<()> {
    match job.device.memory_budget() {
        Some(total) if plan.least_memory() > total => {
            Err(Error::OutOfMemory { asked: plan.least_memory(), budget: Some(total) })
        }
        _ => Ok(()),
    }
}

/// Prints the plan.
///
/// # Errors
/// [`Error::OutOfMemory`] if the run does not fit, after the plan is printed.
pub fn show(job: &Job, json: bool) -> Result<()> {
    let request = &job.settings.request;
    let plan = job.pipeline.plan(&job.device, request)?;
    let speeds = Speeds::of(&job.device, &job.pipeline, request)?;
    let times = speeds.times(&plan, request);
    let (grid, _) = job.pipeline.schedule(request)?;
    let (steps, threads) = (grid.steps(), rayon::current_num_threads());
    if json {
        let &Request { width, height, frames, .. } = request;
        let stages = plan.stages.iter().zip(&times).map(|(stage, &seconds)| stage_event(stage, seconds)).collect();
        let (memory, machine_memory) = (plan.memory(), job.device.memory_budget());
        let (fits, seconds, speeds) = (check(job, &plan).is_ok(), times.iter().sum(), speeds.name());
        let device = job.device.to_string();
        let event = PlanEvent {
            width,
            height,
            frames,
            steps,
            device,
            threads,
            stages,
            memory,
            machine_memory,
            fits,
            seconds,
            speeds,
        };
        Event::Plan(event).print();
    } else {
        print(table(job, &plan, &times, &speeds, steps, threads).as_bytes())?;
    }
    check(job, &plan)
}

/// How fast a device is: what kernel-bench measured of it, or else what a short probe finds.
enum Speeds {
    Measured(Box<Saved>, Box<Sizes>),
    Probed(Probe),
}

impl Speeds {
    fn of(device: &Device, pipeline: &Pipeline, request: &Request) -> Result<Self> {
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
    fn times(&self, plan: &Plan, request: &Request) -> Vec<f64> {
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

    fn name(&self) -> String {
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

fn stage_event(stage: &StagePlan, seconds: f64) -> StageEvent<'_> {
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

fn table(job: &Job, plan: &Plan, times: &[f64], speeds: &Speeds, steps: usize, threads: usize) -> String {
    let Request { width, height, frames, .. } = &job.settings.request;
    let mut rows = vec![["", "tokens", "rounds", "FLOP", "memory", "weights", "time"].map(str::to_owned)];
    for (stage, seconds) in plan.stages.iter().zip(times) {
        let (tokens, rounds) = (stage.tokens.to_string(), stage.rounds.to_string());
        let (memory, weights) = (bytes(stage.memory()), bytes(stage.weights));
        let time = duration(*seconds);
        rows.push([stage.stage.to_string(), tokens, rounds, flop(stage.work.flop()), memory, weights, time]);
    }
    let (work, time) = (flop(plan.work().flop()), duration(times.iter().sum()));
    let weights = bytes(plan.stages.iter().map(|stage| stage.weights).sum());
    rows.push(["in all".into(), String::new(), String::new(), work, bytes(plan.memory()), weights, time]);

    let mut text = format!("{width}x{height}, {frames} frames, {steps} steps on {}, {threads} threads\n", job.device);
    let widths: [usize; 7] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    for row in rows {
        let [name, numbers @ ..] = &row;
        let line = numbers
            .iter()
            .zip(&widths[1..])
            .fold(format!("{name:<0$}", widths[0]), |line, (cell, width)| format!("{line}  {cell:>width$}"));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let mapped = plan.stages.iter().all(|stage| !stage.weights_copied);
    text.push_str(if mapped {
        "Memory is without the weights, which are mapped; times are for weights that are in memory already."
    } else {
        "Memory is with the weights of a stage."
    });
    text.push_str(&format!(" Speeds are those of {}.\n", speeds.name()));
    if let Some(total) = job.device.memory_budget() {
        let verdict = if plan.memory() <= total {
            "fits".into()
        } else if plan.least_memory() <= total {
            format!("fits in {} if weights are fetched anew in every round", bytes(plan.least_memory()))
        } else {
            String::from("does not fit")
        };
        text.push_str(&format!(
            "It {verdict}: the {} {} {}.\n",
            if job.device.is_gpu() { "GPU" } else { "machine" },
            if job.place.memory == Some(total) { "may use" } else { "has" },
            bytes(total)
        ));
    }
    text
}

/// Says how long a long run will take, and what would be cheaper.
pub fn announce(job: &Job, plan: &Plan, report: &Report) -> Result<()> {
    if plan.work().flop() as f64 <= LONG * SLOWEST {
        return Ok(());
    }
    let request = &job.settings.request;
    let speeds = Speeds::of(&job.device, &job.pipeline, request)?;
    let seconds = speeds.times(plan, request).iter().sum();
    if seconds <= LONG {
        return Ok(());
    }
    report.line(&format!("this will take about {}; cheaper:", duration(seconds)));
    for (flags, request) in cheaper(request) {
        // A size may not be on this model's grid.
        if let Ok(plan) = job.pipeline.plan(&job.device, &request) {
            report.line(&format!("  {flags:<38} about {}", duration(speeds.times(&plan, &request).iter().sum())));
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

/// FLOP as people read them.
fn flop(flop: u64) -> String {
    let flop = flop as f64;
    let (scale, unit) =
        [(1e15, "P"), (1e12, "T"), (1e9, "G")].into_iter().find(|(scale, _)| flop >= *scale).unwrap_or((1e6, "M"));
    format!("{:.1} {unit}", flop / scale)
}

/// Bytes as people read them.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
