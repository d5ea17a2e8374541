//! A run from outside: what is found before it starts, what stops it under way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use zoetrope::models::wan;
use zoetrope::video::{Frame, NullSink};
use zoetrope::weights::Mapping;
use zoetrope::{Device, Error, Pipeline, Progress, Prompt, Request, Steps, Tensor};

/// A copy of a fixture checkpoint that is removed when it goes out of scope.
struct Copy(PathBuf);

impl Copy {
    fn of(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let target = std::env::temp_dir().join(format!("zoetrope-pipeline-{}-{number}", std::process::id()));
        copy(&fixture(name), &target);
        Self(target)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

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
        Progress::Loading("text encoder") => "text_encoder/model-00001-of-00002.safetensors",
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
