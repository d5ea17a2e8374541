//! A run from outside: what is found before it starts, what stops it under way.

mod checkpoints;

use std::fs;
use std::time::{Duration, SystemTime};

use checkpoints::{Copy, fixture};
use zoetrope::models::wan;
use zoetrope::video::{Frame, NullSink};
use zoetrope::weights::Mapping;
use zoetrope::{Device, Error, Pipeline, Progress, Prompt, Request, Stage, Steps, Tensor};

/// Two steps of a tiny clip.
fn request() -> Request {
    let steps = Steps::Schedule { schedule: Default::default(), steps: 2, shift: None };
    let prompts = (Prompt::Tokens(vec![5, 9, 1]), Prompt::Tokens(vec![1]));
    Request { width: 48, height: 32, frames: 5, steps, ..Request::new(prompts.0, prompts.1) }
}

const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";

#[test]
fn a_damaged_component_is_found_before_the_first_step() {
    for file in [VAE, TRANSFORMER, "text_encoder/model-00002-of-00002.safetensors"] {
        let checkpoint = Copy::of("b");
        let path = checkpoint.file(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
        for mapping in [Mapping::Map, Mapping::Read] {
            let error = Pipeline::open(&checkpoint.0, mapping).err().expect("the file is cut short");
            assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
            assert!(error.to_string().contains(file.rsplit('/').next().unwrap()), "{error}");
        }
    }
}

/// What a run says when `file` is written to after `event`.
fn changed_after(file: &str, event: impl Fn(&Progress) -> bool) -> Result<(), Error> {
    let checkpoint = Copy::of("b");
    let pipeline = Pipeline::open(&checkpoint.0, Mapping::Map).unwrap();
    let later = SystemTime::now() + Duration::from_secs(10);
    let touch = &mut |progress: Progress| {
        if event(&progress) {
            fs::File::options().write(true).open(checkpoint.file(file)).unwrap().set_modified(later).unwrap();
        }
    };
    pipeline.generate(&Device::cpu().unwrap(), &request(), &mut NullSink, touch)
}

#[test]
fn a_file_that_is_written_to_during_a_run_is_noticed() {
    let moment = |progress: &Progress| match progress {
        Progress::Loading(Stage::TextEncoder) => "text_encoder/model-00001-of-00002.safetensors",
        Progress::Step { done: 1, .. } => TRANSFORMER,
        Progress::Frame { done: 1, .. } => VAE,
        _ => "",
    };
    for file in ["text_encoder/model-00001-of-00002.safetensors", TRANSFORMER, VAE] {
        let error = changed_after(file, |progress| moment(progress) == file).expect_err("the file was written to");
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains("written to"), "{error}");
    }
}

#[test]
fn a_run_can_be_cancelled_at_every_stage() {
    let pipeline = Pipeline::open(fixture("b"), Mapping::Map).unwrap();
    let mut events = 0;
    pipeline.generate(&Device::cpu().unwrap(), &request(), &mut NullSink, &mut |_| events += 1).unwrap();
    assert_eq!(events, 3 + 2 + 5);
    for stop_at in 0..events - 1 {
        let device = Device::cpu().unwrap();
        let mut seen = 0;
        let outcome = pipeline.generate(&device, &request(), &mut NullSink, &mut |_| {
            if seen == stop_at {
                device.cancel().cancel();
            }
            seen += 1;
        });
        assert!(matches!(outcome, Err(Error::Cancelled)), "event {stop_at}: {outcome:?}");
    }
}

#[test]
fn given_latents_are_checked() {
    let pipeline = Pipeline::open(fixture("b"), Mapping::Map).unwrap();
    let shape = pipeline.latent_shape(&request()).unwrap();
    assert_eq!(shape, [16, 2, 4, 6]);
    let mut latents = vec![0.5; shape.iter().product()];
    let with = |latents: &[f32]| pipeline.check(&Request { latents: Some(latents.to_vec()), ..request() });
    with(&latents).unwrap();
    latents[7] = f32::NAN;
    assert!(matches!(with(&latents), Err(Error::Request { what: "latents", .. })));
    assert!(matches!(with(&latents[1..]), Err(Error::Request { what: "latents", .. })));

    let device = Device::cpu().unwrap();
    let mut frames: Vec<Frame> = Vec::new();
    let empty = Tensor::zeros(&device, [16, 0, 4, 6]).unwrap();
    assert!(pipeline.decode(&device, &empty, 16, &mut frames, &mut |_| {}).is_err());
    let misfit = Tensor::zeros(&device, [3, 1, 4, 6]).unwrap();
    assert!(pipeline.decode(&device, &misfit, 16, &mut frames, &mut |_| {}).is_err());
}

#[test]
fn a_transformer_wants_text_of_its_own() {
    let device = Device::cpu().unwrap();
    let load = |name: &str| {
        let checkpoint = zoetrope::weights::Checkpoint::open(&fixture(name), Mapping::Map).unwrap();
        let config = zoetrope::models::Configs::read(&checkpoint).unwrap().transformer;
        let (weights, _) = checkpoint.component("transformer", &wan::name_table(&config)).unwrap();
        wan::Transformer::load(&weights, config, &device).unwrap()
    };
    let (c, b) = (load("c"), load("b"));
    let latent = Tensor::zeros(&device, [16, 1, 2, 2]).unwrap();
    assert!(matches!(b.forward(&latent, 1.0, &[]), Err(Error::Shape { .. })));
    let of_c = c.context(&Tensor::zeros(&device, [2, 48]).unwrap()).unwrap();
    assert!(matches!(b.forward(&latent, 1.0, &[&of_c]), Err(Error::Shape { .. })));
    let of_b = b.context(&Tensor::zeros(&device, [2, 32]).unwrap()).unwrap();
    assert!(b.forward(&latent, 1.0, &[&of_b]).is_ok());
    // The channels are the model's.
    let misfit = Tensor::zeros(&device, [4, 1, 2, 2]).unwrap();
    assert!(matches!(b.forward(&misfit, 1.0, &[&of_b]), Err(Error::Shape { .. })));
}

/// Prompts as ids and their embeddings, from a device of its own.
fn encoded(pipeline: &Pipeline) -> [Prompt; 2] {
    let Request { prompt, negative_prompt, .. } = request();
    let device = Device::cpu().unwrap();
    let texts = pipeline.encode(&device, &[&prompt, &negative_prompt], &mut |_| {}).unwrap();
    let [prompt, negative] = texts.try_into().expect("two prompts");
    [Prompt::Embeddings(prompt), Prompt::Embeddings(negative)]
}

#[test]
fn embeddings_take_the_place_of_the_text_encoder() {
    let checkpoint = Copy::of("b");
    let pipeline = Pipeline::open(&checkpoint.0, Mapping::Map).unwrap();
    let device = Device::cpu().unwrap();
    let [prompt, negative] = encoded(&pipeline);
    let run = |request: &Request, seen: &mut Vec<String>| {
        pipeline.sample(&device, request, &mut |progress| seen.push(format!("{progress:?}"))).and_then(|x| x.to_vec())
    };
    let by_ids = run(&request(), &mut Vec::new()).unwrap();
    let mixed = Request { negative_prompt: negative.clone(), ..request() };
    assert_eq!(run(&mixed, &mut Vec::new()).unwrap(), by_ids);
    // Whatever reads the text encoder now gets an error.
    let shard = fs::File::options().write(true).open(checkpoint.file("text_encoder/model-00001-of-00002.safetensors"));
    shard.unwrap().set_modified(SystemTime::now() + Duration::from_secs(10)).unwrap();
    assert!(matches!(run(&request(), &mut Vec::new()), Err(Error::Checkpoint { .. })));
    let mut seen = Vec::new();
    let given = Request { prompt, negative_prompt: negative, ..request() };
    assert_eq!(run(&given, &mut seen).unwrap(), by_ids);
    assert!(seen.iter().all(|event| !event.contains("text encoder")), "{seen:?}");
    assert!(format!("{given:?}").contains("Embeddings([3, 32])"), "{given:?}");
}

#[test]
fn prompts_are_checked_before_anything_is_loaded() {
    let pipeline = Pipeline::open(fixture("b"), Mapping::Map).unwrap();
    let device = Device::cpu().unwrap();
    let text = |shape: &[usize], value: f32| {
        let values = vec![value; shape.iter().product()];
        Prompt::Embeddings(Tensor::from_slice(&device, shape, &values).unwrap())
    };
    for (prompt, expected) in [
        (text(&[0, 32], 0.0), "embeddings of shape [0, 32] given, expected [1 to 512, 32]"),
        (text(&[513, 32], 0.0), "embeddings of shape [513, 32] given"),
        (text(&[3, 31], 0.0), "embeddings of shape [3, 31] given"),
        (text(&[96], 0.0), "embeddings of shape [96] given"),
        (text(&[3, 32], f32::NAN), "not finite numbers"),
        (Prompt::Tokens(vec![]), "no token id is given; an empty prompt is the end token 1 alone"),
        (Prompt::Tokens(vec![1; 513]), "513 token ids given, the model reads at most 512"),
        (Prompt::Tokens(vec![5, u32::MAX, 1]), "token id 4294967295 is outside the text encoder's vocabulary"),
    ] {
        for (field, request) in [
            ("prompt", Request { prompt: prompt.clone(), ..request() }),
            ("negative prompt", Request { negative_prompt: prompt.clone(), ..request() }),
        ] {
            let error = pipeline.check(&request).expect_err(expected);
            assert!(matches!(error, Error::Request { what, .. } if what == field), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        // What is not used need not be right.
        pipeline.check(&Request { negative_prompt: prompt.clone(), guidance: 1.0, ..request() }).unwrap();
        assert!(matches!(pipeline.encode(&device, &[&prompt], &mut |_| {}), Err(Error::Request { .. })));
    }
}

#[test]
fn ids_are_had_without_the_text_encoder() {
    let pipeline = Pipeline::open(fixture("b"), Mapping::Map).unwrap();
    let ids = |prompt| pipeline.tokenize(&[&prompt], &mut |_| {});
    assert_eq!(ids(Prompt::Tokens(vec![5, 9, 1])).unwrap(), [[5, 9, 1]]);
    // An empty text is the end token, with a tokenizer and without.
    assert_eq!(ids("".into()).unwrap(), [[1]]);
    match ids("two boats on a lake".into()) {
        Ok(ids) => assert!(cfg!(feature = "tokenizer") && ids[0].len() > 2 && ids[0].last() == Some(&1), "{ids:?}"),
        Err(error) => {
            assert!(!cfg!(feature = "tokenizer") && error.to_string().contains("the feature `tokenizer`"), "{error}");
        }
    }
    let [embeddings, _] = encoded(&pipeline);
    assert!(matches!(ids(embeddings), Err(Error::Request { what: "prompt", .. })));
}

/// A cut prompt is named by its place among all prompts, those that need no tokenizer included.
#[cfg(feature = "tokenizer")]
#[test]
fn a_prompt_that_is_cut_is_told_by_its_place() {
    let pipeline = Pipeline::open(fixture("b"), Mapping::Map).unwrap();
    let [embeddings, _] = encoded(&pipeline);
    let mut cut = Vec::new();
    let long = Prompt::from("boats ".repeat(600));
    let texts = pipeline.encode(&Device::cpu().unwrap(), &[&embeddings, &long], &mut |progress| {
        if let Progress::PromptCut { prompt, text } = progress {
            cut.push((prompt, text));
        }
    });
    assert_eq!(texts.unwrap()[1].dims(), [512, 32]);
    assert!(matches!(&cut[..], [(1, text)] if text.ends_with("boats")), "{cut:?}");
}
