use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::error::{Error, Result};

const WAN: &str = r#"{"_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.42.1", "beta_end": 0.02,
    "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [], "dynamic_thresholding_ratio": 0.995,
    "final_sigmas_type": "zero", "flow_shift": 3.0, "lower_order_final": true, "num_train_timesteps": 1000,
    "predict_x0": true, "prediction_type": "flow_prediction", "rescale_betas_zero_snr": false, "sample_max_value": 1.0,
    "solver_order": 2, "solver_p": null, "solver_type": "bh2", "steps_offset": 0, "thresholding": false,
    "timestep_spacing": "linspace", "trained_betas": null, "use_beta_sigmas": false, "use_exponential_sigmas": false,
    "use_flow_sigmas": true, "use_karras_sigmas": false}"#;
const EULER: &str = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 8}"#;

fn parse(json: &str) -> Result<SchedulerConfig> {
    SchedulerConfig::parse(json, Path::new("scheduler/scheduler_config.json"))
}

/// The message of the error that a Wan configuration gives once `key` has `value`, which must name the key.
fn refusal(json: &str, key: &str, value: &str) -> String {
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    keys.insert(key.into(), serde_json::from_str(value).unwrap());
    match parse(&serde_json::to_string(&keys).unwrap()) {
        Err(Error::Config { key: named, why, .. }) if named == key => why,
        other => panic!("{key} = {value} gave {other:?}"),
    }
}

#[test]
fn a_published_configuration_is_read() {
    let config = parse(WAN).unwrap();
    assert_eq!(
        (config.class(), config.shift(), config.sampler()),
        (SchedulerClass::UniPcMultistep, 3.0, Sampler::UniPc)
    );
    let config = parse(EULER).unwrap();
    assert_eq!((config.shift(), config.sampler()), (8.0, Sampler::Euler));
    // Left by a conversion from another class, and without effect.
    let mixed = WAN.replacen('{', r#"{"shift": 7.0, "base_shift": 0.5, "stochastic_sampling": true, "_x": 1, "#, 1);
    assert_eq!(parse(&mixed).unwrap().shift(), 3.0);
}

/// diffusers adds options with each release and writes them out, switched off.
#[test]
fn options_that_are_not_known_may_be_there_if_they_are_off() {
    for json in [WAN, EULER] {
        for off in ["null", "false", "[]", "{}", "\"\""] {
            let with = json.replacen('{', &format!(r#"{{"an_option_of_tomorrow": {off}, "#), 1);
            assert_eq!(parse(&with).unwrap(), parse(json).unwrap(), "{off}");
        }
        for on in ["true", "1", "0.5", "[1]", "{\"a\": 1}", "\"a\""] {
            let why = refusal(json, "an_option_of_tomorrow", on);
            assert!(
                why.contains("has no option of this name") && why.contains(&format!("found {on}").replace(": ", ":")),
                "{why}"
            );
        }
    }
    // Those that are known may be null, too, where they are off.
    let null = WAN.replace("\"thresholding\": false", "\"thresholding\": null");
    assert_eq!(parse(&null).unwrap(), parse(WAN).unwrap());
    refusal(WAN, "predict_x0", "null");
    refusal(WAN, "use_karras_sigmas", "true");
}

#[test]
fn absent_keys_take_their_class_defaults() {
    assert_eq!(parse(r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#).unwrap().shift(), 1.0);
    let short = r#"{"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction",
        "use_flow_sigmas": true}"#;
    assert_eq!(parse(short).unwrap().shift(), 1.0);
    // UniPC predicts noise unless told otherwise.
    let error = parse(r#"{"_class_name": "UniPCMultistepScheduler"}"#).unwrap_err().to_string();
    assert_eq!(
        error,
        "scheduler/scheduler_config.json, prediction_type: a Wan checkpoint has \"flow_prediction\" here, found \
         \"epsilon\" (the class's default: the key is absent)"
    );
}

#[test]
fn other_classes_and_options_are_refused_by_name() {
    for (key, value) in [
        ("_class_name", r#""DDIMScheduler""#),
        ("_class_name", "null"),
        ("prediction_type", r#""v_prediction""#),
        ("use_flow_sigmas", "false"),
        ("solver_order", "3"),
        ("solver_type", r#""bh1""#),
        ("solver_p", "{}"),
        ("predict_x0", "false"),
        ("lower_order_final", "false"),
        ("disable_corrector", "[0]"),
        ("final_sigmas_type", r#""sigma_min""#),
        ("timestep_spacing", r#""trailing""#),
        ("steps_offset", "1"),
        ("thresholding", "true"),
        ("num_train_timesteps", "2000"),
        ("use_karras_sigmas", "true"),
        ("use_exponential_sigmas", "true"),
        ("use_beta_sigmas", "true"),
        ("use_dynamic_shifting", "true"),
        ("shift_terminal", "0.02"),
        ("an_option_of_tomorrow", "1"),
    ] {
        assert!(!refusal(WAN, key, value).is_empty());
    }
    for (key, value) in [("invert_sigmas", "true"), ("stochastic_sampling", "true"), ("use_dynamic_shifting", "1")] {
        assert!(refusal(EULER, key, value).contains("false"));
    }
}

#[test]
fn hostile_values_are_typed_errors() {
    for value in ["-1", "0", "1e300", "1001", "null", "\"3\"", "[3]", "true"] {
        assert!(refusal(WAN, "flow_shift", value).contains("above 0"));
        assert!(refusal(EULER, "shift", value).contains("above 0"));
    }
    let long = format!("\"{}\"", "é".repeat(5000));
    assert!(refusal(WAN, "solver_type", &long).len() < 300);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["", "[]", "null", "{", "{\"flow_shift\": NaN}", "{\"flow_shift\": 1e999}", deep.as_str()] {
        assert!(matches!(parse(text), Err(Error::Checkpoint { .. })), "{}", &text[..text.len().min(20)]);
    }
    let missing = Path::new("no-such-folder/scheduler_config.json");
    assert!(matches!(SchedulerConfig::open(missing, None), Err(Error::Io { .. })));
}

#[test]
fn the_class_is_that_of_the_index() {
    let open = |json: &str, class: &str| {
        let file = std::env::temp_dir().join(format!("zoetrope-scheduler-{}.json", std::process::id()));
        std::fs::write(&file, json).unwrap();
        let config = SchedulerConfig::open(&file, Some(class));
        std::fs::remove_file(file).unwrap();
        config
    };
    let euler = "FlowMatchEulerDiscreteScheduler";
    assert_eq!(open(r#"{"shift": 5.0}"#, euler).unwrap().class(), SchedulerClass::FlowMatchEulerDiscrete);
    assert_eq!(open(EULER, euler).unwrap().class(), SchedulerClass::FlowMatchEulerDiscrete);
    let error = open(WAN, euler).unwrap_err().to_string();
    assert!(error.contains("UniPCMultistepScheduler") && error.contains(euler), "{error}");
}

#[test]
fn the_named_grids_have_their_known_timesteps() {
    let config = parse(WAN).unwrap();
    let last = |schedule: Schedule| schedule.grid(&config, 4, Some(5.0)).unwrap().timesteps()[3];
    assert_eq!((last(Schedule::Native), last(Schedule::Diffusers)), (624.0, 625.0));
    let distilled = Schedule::Distilled.grid(&config, 4, None).unwrap();
    assert_eq!(distilled.timesteps(), [1000.0, 937.5, (2500.0_f64 / 3.0) as f32, 625.0]);
    assert_eq!(distilled.sigmas(), [1.0, 0.9375, (2.5_f64 / 3.0) as f32, 0.625, 0.0]);
}

#[test]
fn custom_sigmas_are_used_as_given() {
    let grid = Grid::custom(&[1.0, 0.75, 0.1], None).unwrap();
    assert_eq!((grid.sigmas(), grid.timesteps()), (&[1.0, 0.75, 0.1, 0.0][..], &[1000.0, 750.0, 100.0][..]));
    assert_eq!(grid, Grid::custom(&[1.0, 0.75, 0.1, 0.0], Some(3)).unwrap());
    for bad in [
        &[][..],
        &[0.0],
        &[1.1],
        &[0.5, 0.5],
        &[0.25, 0.5],
        &[0.5, -0.1],
        &[0.5, 0.0, 0.0],
        &[f64::NAN],
        &[1.0, f64::NAN],
        &[f64::INFINITY],
        &[0.5, 0.5 - 1e-12],
        &[1e-60],
    ] {
        assert!(matches!(Grid::custom(bad, None), Err(Error::Request { what: "sigmas", .. })), "{bad:?}");
    }
    assert!(matches!(Grid::custom(&[1.0, 0.5], Some(3)), Err(Error::Request { what: "sigmas", .. })));
}

#[test]
fn steps_and_shifts_out_of_range_are_refused() {
    for config in [parse(WAN).unwrap(), parse(EULER).unwrap()] {
        for schedule in [Schedule::Diffusers, Schedule::Native, Schedule::Distilled] {
            for steps in [0, 1001, usize::MAX] {
                let error = schedule.grid(&config, steps, None).unwrap_err();
                assert!(matches!(error, Error::Request { what: "steps", .. }));
            }
            for shift in [0.0, -3.0, f64::NAN, f64::INFINITY, 1e9] {
                let error = schedule.grid(&config, 4, Some(shift)).unwrap_err();
                assert!(matches!(error, Error::Request { what: "shift", .. }));
            }
        }
    }
    // The second noise level comes above the lowered first one.
    let error = Schedule::Diffusers.grid(&parse(WAN).unwrap(), 1000, Some(1000.0)).unwrap_err();
    assert!(matches!(error, Error::Request { what: "shift", .. }), "{error}");
}

#[test]
fn names_go_both_ways() {
    for schedule in [Schedule::Diffusers, Schedule::Native, Schedule::Distilled] {
        assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
    }
    for sampler in [Sampler::UniPc, Sampler::Euler] {
        assert_eq!(sampler.to_string().parse::<Sampler>().unwrap(), sampler);
    }
    assert!("Euler".parse::<Sampler>().unwrap_err().to_string().contains("unipc or euler"));
    assert!("karras".parse::<Schedule>().unwrap_err().to_string().contains("distilled"));
}

#[test]
fn a_straight_flow_is_solved_exactly_by_both() {
    // x(sigma) = (1 - sigma) clean + sigma noise has the constant velocity noise - clean.
    let (clean, noise) = ([0.5_f32, -2.0, 3.0], [1.0_f32, 0.25, -1.0]);
    let velocity: Vec<f32> = noise.iter().zip(&clean).map(|(n, c)| n - c).collect();
    for sampler in [Sampler::UniPc, Sampler::Euler] {
        for steps in [1, 2, 3, 9, 50] {
            let grid = Schedule::Distilled.grid(&parse(WAN).unwrap(), steps, Some(3.0)).unwrap();
            let mut solver = Solver::new(sampler, &grid).unwrap();
            let mut latent = noise;
            for _ in 0..steps {
                solver.step(&velocity, &mut latent).unwrap();
            }
            for (x, c) in latent.iter().zip(clean) {
                assert!((x - c).abs() < 2e-5, "{sampler}, {steps} steps: {x} for {c}");
            }
            assert_eq!(solver.steps_done(), steps);
            assert!(matches!(solver.step(&velocity, &mut latent), Err(Error::Request { what: "sampler", .. })));
        }
    }
}

#[test]
fn misfits_are_typed_errors() {
    let grid = Grid::custom(&[1.0, 0.5, 0.25], None).unwrap();
    for sampler in [Sampler::UniPc, Sampler::Euler] {
        let mut solver = Solver::new(sampler, &grid).unwrap();
        assert!(matches!(solver.step(&[0.0; 2], &mut [0.0; 3]), Err(Error::Shape { .. })));
        solver.step(&[0.0; 3], &mut [0.0; 3]).unwrap();
        assert!(matches!(solver.step(&[0.0; 4], &mut [0.0; 3]), Err(Error::Shape { .. })));
    }
    let mut solver = Solver::new(Sampler::UniPc, &grid).unwrap();
    solver.step(&[0.0; 3], &mut [0.0; 3]).unwrap();
    assert!(matches!(solver.step(&[0.0; 2], &mut [0.0; 2]), Err(Error::Shape { .. })));
    for close in [[1.0, 0.9999995], [0.001, 0.000_999_999_9]] {
        let grid = Grid::custom(&close, None).unwrap();
        assert!(matches!(Solver::new(Sampler::UniPc, &grid), Err(Error::Request { what: "sampler", .. })));
        assert!(Solver::new(Sampler::Euler, &grid).is_ok());
    }
}

proptest! {
    #[test]
    fn grids_never_panic_and_their_solvers_stay_finite(
        euler_class: bool, which in 0..3_usize, steps in 1..1200_usize, shift in 0.0..1100.0_f64,
    ) {
        let config = parse(if euler_class { EULER } else { WAN }).unwrap();
        let schedule = [Schedule::Diffusers, Schedule::Native, Schedule::Distilled][which];
        if let Ok(grid) = schedule.grid(&config, steps, Some(shift)) {
            prop_assert_eq!((grid.steps(), grid.sigmas().len(), grid.sigmas()[steps]), (steps, steps + 1, 0.0));
            prop_assert!(grid.timesteps().iter().all(|t| (0.0..=1000.0).contains(t)));
            if let Ok(mut solver) = Solver::new(Sampler::UniPc, &grid) {
                let mut latent = [1.0, -1.0];
                for _ in 0..steps {
                    solver.step(&[0.5, 2.0], &mut latent).unwrap();
                }
                prop_assert!(latent.iter().all(|x| x.is_finite()));
            }
        }
    }
}
