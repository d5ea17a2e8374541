//! The plan against the run: the pool's figures to the byte, the work to the last operation.

mod checkpoints;

use std::path::Path;

use checkpoints::fixture;
use safetensors::SafeTensors;
use zoetrope::plan::{Plan, Probe, StagePlan, Work};
use zoetrope::video::NullSink;
use zoetrope::weights::Mapping;
use zoetrope::{Device, DeviceOptions, Error, Pipeline, Progress, Prompt, Request, Stage, Steps};

const CHECKPOINTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn open(name: &str) -> Pipeline {
    Pipeline::open(fixture(name), Mapping::Map).unwrap()
}

/// A clip of a size that every fixture can make, of `frames` frames rounded to what it can make.
fn request(pipeline: &Pipeline, frames: usize, steps: usize, tokens: u32, guidance: f32) -> Request {
    let prompts = (Prompt::Tokens((0..tokens).map(|i| 2 + i % 400).collect()), Prompt::Tokens(vec![1]));
    Request {
        width: 96,
        height: 64,
        frames: pipeline.nearest_frames(frames).unwrap(),
        steps: Steps::Schedule { schedule: Default::default(), steps, shift: None },
        guidance,
        ..Request::new(prompts.0, prompts.1)
    }
}

/// What a run made of its stages: the pool's peak in each, and all work.
fn measured(pipeline: &Pipeline, request: &Request) -> ([u64; 3], Work) {
    let device = Device::cpu().unwrap();
    let mut peaks = [0; 3];
    let see = &mut |progress: Progress| match progress {
        Progress::Loading(Stage::Transformer) => peaks[0] = device.pool_stats().high_water,
        Progress::Step { .. } => peaks[1] = device.pool_stats().peak,
        Progress::Frame { .. } => peaks[2] = device.pool_stats().peak,
        _ => {}
    };
    pipeline.generate(&device, request, &mut NullSink, see).unwrap();
    let stats = device.pool_stats();
    assert_eq!(stats.live, 0);
    assert_eq!(Some(&stats.high_water), peaks.iter().max());
    (peaks, device.work())
}

fn peaks(plan: &Plan) -> [u64; 3] {
    let peak = |stage: &StagePlan| stage.tensors;
    let [text, transformer, decoder] = &plan.stages[..] else { panic!("three stages") };
    [text, transformer, decoder].map(peak)
}

#[test]
fn a_run_takes_what_its_plan_says() {
    for name in CHECKPOINTS {
        let pipeline = open(name);
        for (frames, steps, tokens, guidance) in [(1, 1, 3, 5.0), (9, 3, 40, 5.0), (33, 5, 512, 1.0)] {
            let request = request(&pipeline, frames, steps, tokens, guidance);
            let device = Device::cpu().unwrap();
            let plan = pipeline.plan(&device, &request).unwrap();
            let what = format!("{name}, {} frames, {steps} steps, {tokens} tokens", request.frames);
            let (found, work) = measured(&pipeline, &request);
            assert_eq!(found, peaks(&plan), "{what}: peak bytes of text encoder, transformer, decoder");
            assert_eq!(work, plan.work(), "{what}");
            assert_eq!((device.pool_stats(), device.work()), Default::default(), "{what}: the device is not used");

            let branches = if guidance > 1.0 { 2 } else { 1 };
            let [text, transformer, decoder] = &plan.stages[..] else { panic!("three stages") };
            assert_eq!((text.rounds, transformer.rounds), (branches, steps), "{what}");
            assert_eq!(text.tokens, tokens as usize + branches - 1, "{what}");
            let latent: usize = pipeline.latent_shape(&request).unwrap()[1..].iter().product();
            assert_eq!(decoder.tokens, latent, "{what}");
            assert!(transformer.tokens > 0 && (branches * latent).is_multiple_of(transformer.tokens), "{what}");
        }
    }
}

#[test]
fn embeddings_leave_the_text_encoder_out() {
    let pipeline = open("b");
    let by_ids = request(&pipeline, 9, 3, 12, 5.0);
    let text = |prompt| pipeline.encode(&Device::cpu().unwrap(), &[prompt], &mut |_| {}).unwrap().remove(0);
    let prompt = Prompt::Embeddings(text(&by_ids.prompt));
    let one = Request { prompt, ..by_ids.clone() };
    let negative_prompt = Prompt::Embeddings(text(&by_ids.negative_prompt));
    let both = Request { negative_prompt, ..one.clone() };
    for (request, stages) in [(by_ids, 3), (one, 3), (both, 2)] {
        let plan = pipeline.plan(&Device::cpu().unwrap(), &request).unwrap();
        assert_eq!(plan.stages.len(), stages);
        let (found, work) = measured(&pipeline, &request);
        assert_eq!(work, plan.work());
        let peaks: Vec<u64> = plan.stages.iter().map(|stage| stage.tensors).collect();
        assert_eq!(found[3 - stages..], peaks);
    }
}

#[test]
fn a_budget_is_enough_to_the_byte() {
    let pipeline = open("b");
    let request = request(&pipeline, 9, 2, 12, 5.0);
    let needs = pipeline.plan(&Device::cpu().unwrap(), &request).unwrap().tensors();
    for (budget, enough) in [(needs, true), (needs - 1, false)] {
        let device = Device::cpu_with(DeviceOptions { memory_budget: Some(budget), ..Default::default() }).unwrap();
        let foreseen = pipeline.check_memory(&device, &request);
        let outcome = pipeline.generate(&device, &request, &mut NullSink, &mut |_| {});
        for outcome in [foreseen, outcome] {
            match outcome {
                Ok(()) => assert!(enough),
                Err(Error::OutOfMemory { budget: Some(found), .. }) => assert!(!enough && found == budget),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Bytes of the matrices and kernels in a folder's files that a run uses.
fn matrices(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let file = std::fs::read(path).unwrap();
            for (name, tensor) in SafeTensors::deserialize(&file).unwrap().iter() {
                let vector = tensor.shape().iter().filter(|&&length| length > 1).count() < 2 && name.ends_with("gamma");
                let table = name.ends_with("scale_shift_table") || name.contains("relative_attention_bias");
                // One tensor under two names; of the autoencoder, the half that decodes.
                let other = name == "encoder.embed_tokens.weight"
                    || folder.ends_with("vae") && ["encoder.", "quant_conv."].iter().any(|half| name.starts_with(half));
                if tensor.shape().len() > 1 && !vector && !table && !other {
                    bytes += tensor.data().len() as u64;
                }
            }
        }
    }
    bytes
}

#[test]
fn weights_are_those_that_are_used_and_count_where_they_are_read_into_memory() {
    let device = Device::cpu().unwrap();
    let plans = [Mapping::Map, Mapping::Read].map(|mapping| {
        let pipeline = Pipeline::open(fixture("b"), mapping).unwrap();
        pipeline.plan(&device, &request(&pipeline, 5, 1, 3, 5.0)).unwrap()
    });
    for (stage, folder) in plans[0].stages.iter().zip(["text_encoder", "transformer", "vae"]) {
        assert_eq!(stage.weights, matrices(&fixture("b").join(folder)), "{folder}");
    }
    for (mapped, read) in plans[0].stages.iter().zip(&plans[1].stages) {
        assert_eq!(mapped.memory() + mapped.weights, read.memory());
        assert_eq!((mapped.tensors, mapped.work, mapped.weights), (read.tensors, read.work, read.weights));
        assert!(mapped.memory() > mapped.tensors && read.weights_copied && !mapped.weights_copied);
    }
}

/// The stages of a larger and longer run are known at once, without the memory that it takes.
#[test]
fn a_plan_needs_no_memory_and_little_time() {
    let pipeline = open("b");
    let request = Request { width: 4096, height: 4096, ..request(&pipeline, 2001, 500, 20, 5.0) };
    let start = std::time::Instant::now();
    let plan = pipeline.plan(&Device::cpu().unwrap(), &request).unwrap();
    println!("{:?} for {:.0} GB", start.elapsed(), plan.memory() as f64 / 1e9);
    assert!(plan.memory() > 100 << 30);
    assert!(start.elapsed().as_secs() < 5);
    let [.., transformer, decoder] = &plan.stages[..] else { panic!("three stages") };
    // Loading and the texts are done once, all else in every step.
    let once = transformer.work.since(transformer.round.times(500));
    assert!(once.flop() > 0 && once.flop() < transformer.round.flop());
    // All frames after the first few are alike.
    let rest = decoder.round.times(decoder.rounds as u64).since(decoder.work);
    assert!(rest.flop() < 3 * decoder.round.flop());
}

#[test]
fn seconds_are_work_over_speed() {
    let pipeline = open("a");
    let device = Device::cpu().unwrap();
    let plan = pipeline.plan(&device, &request(&pipeline, 9, 4, 7, 5.0)).unwrap();
    let probe = Probe::measure(&device).unwrap();
    assert!(
        [probe.linear, probe.attention, probe.conv3d, probe.moved].iter().all(|rate| rate.is_finite() && *rate > 1e6)
    );
    let twice = Probe {
        linear: 2.0 * probe.linear,
        attention: 2.0 * probe.attention,
        conv3d: 2.0 * probe.conv3d,
        moved: 2.0 * probe.moved,
    };
    let ratio = plan.seconds(&probe) / plan.seconds(&twice);
    assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
    let parts: f64 = plan.stages.iter().map(|stage| stage.seconds(&probe)).sum();
    assert!((parts - plan.seconds(&probe)).abs() < 1e-9);

    device.cancel().cancel();
    assert!(matches!(Probe::measure(&device), Err(Error::Cancelled)));
}
