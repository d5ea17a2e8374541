//! Noise, step grids and solvers against torch and diffusers 0.42.1; `tools/reference/sampler_fixtures.py` wrote the data.

use std::path::Path;

use serde::Deserialize;
use zoetrope::rng::randn;
use zoetrope::sampler::{Grid, Guidance, Sampler, Schedule, SchedulerConfig, Solver};

fn fixture<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sampler").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// sqrt(sum (a - b)^2 / sum b^2).
fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let error: f64 = found.iter().zip(expected).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    let norm: f64 = expected.iter().map(|&b| square(f64::from(b))).sum();
    (error / norm).sqrt()
}

#[derive(Deserialize)]
struct Noise {
    seed: String,
    size: usize,
    every: usize,
    values: Vec<f32>,
    #[serde(default)]
    tail: Vec<f32>,
}

#[test]
fn noise_is_torch_randn() {
    let (mut worst, mut equal, mut count) = (0.0_f32, 0, 0);
    for case in fixture::<Vec<Noise>>("noise.json") {
        let found = randn(case.seed.parse().unwrap(), case.size);
        assert_eq!(found.len(), case.size);
        let strided = found.iter().copied().step_by(case.every);
        assert_eq!(strided.len(), case.values.len());
        let tail = found[case.size - case.tail.len()..].iter().copied();
        for (found, expected) in strided.chain(tail).zip(case.values.iter().chain(&case.tail)) {
            let error = (found - expected).abs();
            assert!(error <= 1e-6, "seed {}, size {}: {found} for {expected}", case.seed, case.size);
            worst = worst.max(error);
            equal += usize::from(found == *expected);
            count += 1;
        }
    }
    println!("noise: {equal} of {count} values have torch's bits, the worst is off by {worst:e}");
}

#[derive(Deserialize)]
struct Steps {
    schedule: String,
    steps: usize,
    shift: f64,
    every: Option<usize>,
    sigmas: Vec<f32>,
    timesteps: Vec<f32>,
}

/// The grid that the fixtures call by this name; the class of a folder is part of the name.
fn grid(schedule: &str, steps: usize, shift: f64) -> Grid {
    let config = |json: &str| SchedulerConfig::parse(json, Path::new("scheduler_config.json")).unwrap();
    let unipc = config(
        r#"{"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": true}"#,
    );
    let euler = config(r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#);
    let (schedule, config) = match schedule {
        "unipc" => (Schedule::Diffusers, unipc),
        "flow_euler" => (Schedule::Diffusers, euler),
        "native" => (Schedule::Native, unipc),
        "distilled" => (Schedule::Distilled, euler),
        "custom" => return Grid::custom(&[0.95, 0.9, 0.7, 0.5, 0.25, 0.02], Some(steps)).unwrap(),
        other => panic!("{other}"),
    };
    schedule.grid(&config, steps, Some(shift)).unwrap()
}

#[test]
fn grids_have_the_same_bits() {
    for case in fixture::<Vec<Steps>>("grids.json") {
        let grid = grid(&case.schedule, case.steps, case.shift);
        let name = format!("{}, {} steps, shift {}", case.schedule, case.steps, case.shift);
        let every = case.every.unwrap_or(1);
        let sigmas: Vec<f32> = match case.every {
            // Of long grids the fixture holds a selection, without the final 0.
            Some(every) => grid.sigmas()[..case.steps].iter().copied().step_by(every).collect(),
            None => grid.sigmas().to_vec(),
        };
        let timesteps: Vec<f32> = grid.timesteps().iter().copied().step_by(every).collect();
        assert_eq!(sigmas, case.sigmas, "{name}");
        assert_eq!(timesteps, case.timesteps, "{name}");
    }
}

#[derive(Deserialize)]
struct Trajectories {
    centre: Vec<f32>,
    start: Vec<f32>,
    runs: Vec<Run>,
    recorded: Vec<Recorded>,
    guidance: Guided,
}

#[derive(Deserialize)]
struct Run {
    sampler: SamplerName,
    schedule: String,
    steps: usize,
    shift: f64,
    latent: Vec<f32>,
}

#[derive(Deserialize)]
struct Recorded {
    sampler: SamplerName,
    steps: Vec<RecordedStep>,
}

#[derive(Deserialize)]
struct RecordedStep {
    velocity: Vec<f32>,
    latent: Vec<f32>,
}

#[derive(Deserialize)]
struct Guided {
    scale: f32,
    cond: Vec<f32>,
    uncond: Vec<f32>,
    guided: Vec<f32>,
}

/// A sampler by its name on the command line.
#[derive(Deserialize)]
#[serde(transparent)]
struct SamplerName(String);

impl SamplerName {
    fn get(&self) -> Sampler {
        self.0.parse().unwrap()
    }
}

#[test]
fn whole_runs_end_where_diffusers_ends() {
    let data: Trajectories = fixture("trajectories.json");
    let (mut worst, mut equal) = (0.0_f64, 0);
    for run in &data.runs {
        let grid = grid(&run.schedule, run.steps, run.shift);
        let mut solver = Solver::new(run.sampler.get(), &grid).unwrap();
        let mut latent = data.start.clone();
        for &t in grid.timesteps() {
            let part = t / 1000.0;
            let velocity: Vec<f32> = latent.iter().zip(&data.centre).map(|(&x, &c)| (x - c) + (part * x) * c).collect();
            solver.step(&velocity, &mut latent).unwrap();
        }
        let error = relative_l2(&latent, &run.latent);
        let name = format!("{}, {}, {} steps, shift {}", run.sampler.get(), run.schedule, run.steps, run.shift);
        assert!(error <= 1e-6, "{name}: {error:e}");
        worst = worst.max(error);
        equal += usize::from(latent == run.latent);
        println!("{name}: {error:.1e}");
    }
    println!("runs: {equal} of {} have diffusers' bits, the worst relative L2 error is {worst:.1e}", data.runs.len());
}

#[test]
fn every_step_follows_diffusers_over_recorded_velocities() {
    let data: Trajectories = fixture("trajectories.json");
    for run in &data.recorded {
        let mut solver = Solver::new(run.sampler.get(), &grid("unipc", 7, 3.0)).unwrap();
        let mut latent = data.start.clone();
        for (i, step) in run.steps.iter().enumerate() {
            solver.step(&step.velocity, &mut latent).unwrap();
            let error = relative_l2(&latent, &step.latent);
            println!("{}, step {}: {error:.1e}", run.sampler.get(), i + 1);
            assert!(error <= 1e-6, "{}, step {}: {error:e}", run.sampler.get(), i + 1);
        }
    }
}

#[test]
fn guidance_has_the_same_bits() {
    let Guided { scale, mut cond, uncond, guided } = fixture::<Trajectories>("trajectories.json").guidance;
    Guidance::new(scale).unwrap().combine(&mut cond, &uncond).unwrap();
    assert_eq!(cond, guided);
}
