//! A run from outside: what is found before it starts, what stops it under way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use safetensors::{Dtype, SafeTensors};
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

/// Sets one number of a tensor, wherever below `component` it is stored.
fn poison(checkpoint: &Copy, component: &str, tensor: &str, index: usize, value: f32) {
    for entry in fs::read_dir(checkpoint.file(component)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let Ok(view) = file.tensor(tensor) else { continue };
        let stored = match view.dtype() {
            Dtype::F32 => value.to_le_bytes().to_vec(),
            Dtype::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
            other => panic!("{tensor} is {other:?}"),
        };
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize + index * stored.len();
        bytes[start..start + stored.len()].copy_from_slice(&stored);
        fs::write(&path, bytes).unwrap();
        return;
    }
    panic!("{component} has no {tensor}");
}

/// What a run says once a number is not what it was, and how many steps and frames it had done.
fn poisoned(name: &str, component: &str, tensor: &str, index: usize, value: f32) -> (Result<(), Error>, [usize; 2]) {
    let checkpoint = Copy::of(name);
    poison(&checkpoint, component, tensor, index, value);
    let pipeline = Pipeline::open(&checkpoint.0, Mapping::Map).unwrap();
    let mut seen = [0, 0];
    let count = &mut |progress: Progress| match progress {
        Progress::Step { done, .. } => seen[0] = done,
        Progress::Frame { done, .. } => seen[1] = done,
        _ => {}
    };
    let device = Device::cpu().unwrap();
    let outcome = pipeline.generate(&device, &request(), &mut NullSink, count);
    assert_eq!(device.pool_stats().live, 0);
    (outcome, seen)
}

#[test]
fn one_poisoned_number_is_named_by_stage_step_and_layer() {
    let text = |layer: &'static str| ("text_encoder", "text encoder", None, layer, [0, 0]);
    let context = |layer: &'static str| ("transformer", "transformer", None, layer, [0, 0]);
    let step = |layer: &'static str| ("transformer", "transformer", Some(1), layer, [0, 0]);
    let vae = |layer: &'static str, frames| ("vae", "VAE decoder", None, layer, [2, frames]);
    let cases = [
        // The row of token 9.
        ("shared.weight", 9 * 32, text("shared")),
        ("encoder.block.0.layer.0.layer_norm.weight", 3, text("encoder.block.0.layer.0.layer_norm")),
        (
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            0,
            text("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
        ),
        ("encoder.block.1.layer.0.SelfAttention.q.weight", 5, text("encoder.block.1.layer.0.SelfAttention.q")),
        ("encoder.block.1.layer.1.DenseReluDense.wo.weight", 7, text("encoder.block.1.layer.1.DenseReluDense.wo")),
        ("encoder.final_layer_norm.weight", 31, text("encoder.final_layer_norm")),
        ("condition_embedder.text_embedder.linear_2.bias", 1, context("condition_embedder.text_embedder.linear_2")),
        ("blocks.1.attn2.to_k.weight", 0, context("blocks.1.attn2.to_k")),
        ("blocks.0.attn2.norm_k.weight", 0, context("blocks.0.attn2.norm_k")),
        ("patch_embedding.weight", 0, step("patch_embedding")),
        ("condition_embedder.time_embedder.linear_1.weight", 2, step("condition_embedder.time_embedder.linear_1")),
        ("condition_embedder.time_proj.bias", 2, step("condition_embedder.time_proj")),
        ("blocks.0.scale_shift_table", 90, step("blocks.0.scale_shift_table")),
        ("blocks.0.norm2.bias", 4, step("blocks.0.norm2")),
        ("blocks.0.attn1.to_q.weight", 17, step("blocks.0.attn1.to_q")),
        ("blocks.1.attn1.norm_k.weight", 17, step("blocks.1.attn1.norm_k")),
        ("blocks.1.attn2.to_q.bias", 1, step("blocks.1.attn2.to_q")),
        ("blocks.1.ffn.net.0.proj.weight", 1, step("blocks.1.ffn.net.0.proj")),
        ("blocks.1.ffn.net.2.weight", 1, step("blocks.1.ffn.net.2")),
        ("scale_shift_table", 1, step("scale_shift_table")),
        ("proj_out.weight", 0, step("proj_out")),
        ("post_quant_conv.weight", 0, vae("post_quant_conv", 0)),
        ("decoder.conv_in.weight", 49, vae("decoder.conv_in", 0)),
        ("decoder.mid_block.attentions.0.to_qkv.weight", 0, vae("decoder.mid_block.attentions.0.to_qkv", 0)),
        ("decoder.mid_block.resnets.1.norm2.gamma", 0, vae("decoder.mid_block.resnets.1.norm2", 0)),
        ("decoder.up_blocks.2.resnets.1.conv1.weight", 80, vae("decoder.up_blocks.2.resnets.1.conv1", 0)),
        // Over time nothing is done before the second frame of the latent.
        ("decoder.up_blocks.0.upsamplers.0.time_conv.weight", 2, vae("decoder.up_blocks.0.upsamplers.0.time_conv", 1)),
        ("decoder.norm_out.gamma", 0, vae("decoder.norm_out", 0)),
        ("decoder.conv_out.bias", 2, vae("decoder.conv_out", 0)),
    ];
    for (tensor, index, (component, stage, step, layer, seen)) in cases {
        for value in [f32::NAN, f32::INFINITY] {
            let (outcome, done) = poisoned("b", component, tensor, index, value);
            let error = outcome.expect_err(tensor);
            let Error::NotFinite { stage: found, step: at, layer: Some(first) } = &error else {
                panic!("{tensor}, {value}: {error}");
            };
            assert_eq!((*found, *at, first.as_str(), done), (stage, step, layer, seen), "{tensor}, {value}");
            assert!(error.to_string().contains(layer) && error.to_string().contains(stage), "{error}");
        }
    }
    // The other storage types.
    for name in ["a", "c"] {
        let (outcome, _) = poisoned(name, "transformer", "blocks.0.ffn.net.2.weight", 1, f32::NAN);
        let error = outcome.expect_err(name).to_string();
        assert!(error.contains("transformer") && error.contains("step 1, first in blocks.0.ffn.net.2"), "{error}");
    }
}

#[test]
fn what_is_not_used_may_be_poisoned() {
    // The embedding of a token that neither prompt has; the half of the autoencoder that encodes.
    for (name, component, tensor, index) in
        [("b", "text_encoder", "shared.weight", 200 * 32), ("d", "vae", "encoder.conv_in.weight", 0)]
    {
        let (outcome, seen) = poisoned(name, component, tensor, index, f32::NAN);
        assert!(outcome.is_ok() && seen == [2, 5], "{tensor}: {outcome:?}");
    }
}
