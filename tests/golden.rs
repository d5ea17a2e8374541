//! Every stage against diffusers 0.42.1 in F32, on the tiny random checkpoints that `tools/reference/make_fixtures.py`
//! writes: several head counts and sizes, VAE depths, patch sizes and storage types.
#![cfg(feature = "tokenizer")]

mod checkpoints;
mod gpu;

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use zoetrope::models::{Configs, umt5, wan, wan_vae};
use zoetrope::sampler::Schedule;
use zoetrope::video::Frame;
use zoetrope::weights::{Checkpoint, Mapping};
use zoetrope::{Device, DeviceOptions, Pipeline, Prompt, Request, SimdLevel, Steps, Tensor};

/// The largest relative L2 error of one stage (text, one transformer forward, VAE decode).
const STAGE: f64 = 1e-5;
/// The same of a VAE decode by Winograd's algorithm.
const WINOGRAD: f64 = 5e-5;
/// The largest relative L2 error of a run's final latents.
const LATENTS: f64 = 2e-5;
/// The share of bytes that are within 1 of the reference's.
const PIXELS: f64 = 0.999;

/// One golden file and its checkpoint.
struct Golden {
    name: String,
    bytes: Vec<u8>,
    folder: PathBuf,
}

fn fixtures() -> Vec<Golden> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut all: Vec<Golden> = std::fs::read_dir(root.join("golden"))
        .expect("the golden folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a stem").to_string_lossy().into_owned();
            Golden { bytes: std::fs::read(&path).expect("golden"), folder: root.join("checkpoints").join(&name), name }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() >= 5, "the fixtures are there");
    all
}

impl Golden {
    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a safetensors file")
    }

    /// The runs by name, with all that they were asked.
    fn runs(&self) -> serde_json::Map<String, Value> {
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).expect("a header");
        let notes = metadata.metadata().as_ref().expect("notes");
        serde_json::from_str(&notes["runs"]).expect("runs")
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(&self.folder, Mapping::Map).expect("the checkpoint opens")
    }
}

fn floats(view: &TensorView) -> Vec<f32> {
    assert_eq!(view.dtype(), Dtype::F32);
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
}

fn ids(view: &TensorView) -> Vec<u32> {
    let size = if view.dtype() == Dtype::I64 { 8 } else { 4 };
    view.data().chunks_exact(size).map(|b| u32::from_le_bytes(b[..4].try_into().expect("four bytes"))).collect()
}

fn tensor(device: &Device, view: &TensorView) -> Tensor {
    Tensor::from_slice(device, view.shape(), &floats(view)).expect("a tensor")
}

/// |got - want| / |want|, in F64.
fn relative_l2(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square = |x: f64| x * x;
    let error: f64 = got.iter().zip(want).map(|(&g, &w)| square(f64::from(g) - f64::from(w))).sum();
    let norm: f64 = want.iter().map(|&w| square(w.into())).sum();
    (error / norm).sqrt()
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec().expect("values")
}

#[track_caller]
fn agree(what: &str, got: &Tensor, want: &TensorView, bound: f64) {
    assert_eq!(got.dims(), want.shape(), "{what}");
    let error = relative_l2(&read(got), &floats(want));
    println!("{what}: {error:.2e}");
    assert!(error <= bound, "{what}: {error:.2e} is above {bound:.0e}");
}

/// A GPU's bounds in units of a processor's: its sums are in other orders.
const GPU: f64 = 10.0;

/// All instruction sets of this machine, then its GPUs, each with what its bounds are multiplied by.
fn devices() -> Vec<(Device, f64)> {
    let gpus = gpu::devices().iter().map(|gpu| (gpu.clone(), GPU));
    opened(false).into_iter().map(|cpu| (cpu, 1.0)).chain(gpus).collect()
}

/// A device of each level.
fn opened(exact_conv: bool) -> Vec<Device> {
    let device =
        |&level| Device::cpu_with(DeviceOptions { level: Some(level), exact_conv, ..DeviceOptions::default() });
    SimdLevel::available().iter().map(|level| device(level).expect("an available level")).collect()
}

#[test]
fn text_encoder() {
    for golden in fixtures() {
        let given = golden.tensors();
        let checkpoint = golden.checkpoint();
        let config = Configs::read(&checkpoint).unwrap().text_encoder;
        let (weights, _) = checkpoint.component("text_encoder", &umt5::name_table(&config)).unwrap();
        for (device, factor) in devices() {
            let encoder = umt5::Encoder::load(&weights, config.clone(), &device).unwrap();
            for branch in ["cond", "uncond"] {
                let text = encoder.forward(&device, &ids(&given.tensor(&format!("ids.{branch}")).unwrap())).unwrap();
                let want = given.tensor(&format!("text.{branch}")).unwrap();
                agree(&format!("{} text.{branch} {device:?}", golden.name), &text, &want, factor * STAGE);
            }
        }
    }
}

#[test]
fn transformer() {
    for golden in fixtures() {
        let given = golden.tensors();
        let checkpoint = golden.checkpoint();
        let config = Configs::read(&checkpoint).unwrap().transformer;
        let (weights, _) = checkpoint.component("transformer", &wan::name_table(&config)).unwrap();
        for (device, factor) in devices() {
            let transformer = wan::Transformer::load(&weights, config.clone(), &device).unwrap();
            let context = |branch: &str| {
                let text = tensor(&device, &given.tensor(&format!("text.{branch}")).unwrap());
                transformer.context(&text).unwrap()
            };
            let latent = tensor(&device, &given.tensor("dit.latent").unwrap());
            let timestep = floats(&given.tensor("dit.timestep").unwrap())[0];
            let (cond, uncond) = (context("cond"), context("uncond"));
            let both = transformer.forward(&latent, timestep, &[&cond, &uncond]).unwrap();
            for (branch, velocity) in ["cond", "uncond"].iter().zip(&both) {
                let want = given.tensor(&format!("dit.{branch}")).unwrap();
                agree(&format!("{} dit.{branch} {device:?}", golden.name), velocity, &want, factor * STAGE);
            }
            let alone = transformer.forward(&latent, timestep, &[&uncond]).unwrap();
            let same = bits(&read(&alone[0])) == bits(&read(&both[1]));
            assert!(same, "{}: a branch does not depend on the other", golden.name);
        }
    }
}

/// All frames of a latent, brought to the decoder `step` latent frames at a time.
fn decode(decoder: &wan_vae::Decoder, latent: &Tensor, step: usize) -> Tensor {
    let mut state = wan_vae::DecoderState::default();
    let mut values = Vec::new();
    let mut shape = [0; 4];
    let &[channels, frames, height, width] = latent.dims() else { panic!("a latent has rank 4") };
    for first in (0..frames).step_by(step) {
        let count = step.min(frames - first);
        let plane = height * width;
        let part: Vec<f32> = (read(latent).chunks(frames * plane))
            .flat_map(|channel| &channel[first * plane..(first + count) * plane])
            .copied()
            .collect();
        let part = Tensor::from_slice(latent.device(), [channels, count, height, width], &part).unwrap();
        let collect = &mut |video: Tensor| {
            let before = shape[0];
            shape = video.dims().try_into().expect("video has rank 4");
            shape[0] += before;
            values.extend_from_slice(&read(&video));
            Ok(())
        };
        decoder.decode(&mut state, &part, collect).unwrap();
    }
    Tensor::from_slice(latent.device(), shape, &values).unwrap()
}

#[test]
fn vae_decoder() {
    for golden in fixtures() {
        let given = golden.tensors();
        let checkpoint = golden.checkpoint();
        let config = Configs::read(&checkpoint).unwrap().vae;
        let (weights, _) = checkpoint.component("vae", &wan_vae::name_table(&config)).unwrap();
        let exact = opened(true).into_iter().map(|device| (device, STAGE));
        let gpus = gpu::devices().iter().map(|device| (device.clone(), GPU * STAGE));
        for (device, bound) in exact.chain(opened(false).into_iter().map(|device| (device, WINOGRAD))).chain(gpus) {
            let decoder = wan_vae::Decoder::load(&weights, config.clone(), &device).unwrap();
            let latent = tensor(&device, &given.tensor("vae.latent").unwrap());
            let video = decode(&decoder, &latent, usize::MAX);
            agree(&format!("{} vae.video {device:?}", golden.name), &video, &given.tensor("vae.video").unwrap(), bound);
            for step in [1, 2] {
                let other = decode(&decoder, &latent, step);
                assert!(bits(&read(&other)) == bits(&read(&video)), "{}: {step} a call", golden.name);
            }
        }
    }
}

/// All bytes of some frames.
fn rgb(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.rgb()).copied().collect()
}

fn request(run: &Value) -> Request {
    let size = |key: &str| run[key].as_u64().expect("a number") as usize;
    let prompt = |key: &str| Prompt::Text(run[key].as_str().expect("a prompt").to_owned());
    let schedule: Schedule = run["schedule"].as_str().expect("a name").parse().expect("a schedule");
    Request {
        width: size("width"),
        height: size("height"),
        frames: size("frames"),
        steps: Steps::Schedule { schedule, steps: size("steps"), shift: None },
        sampler: Some(run["sampler"].as_str().expect("a name").parse().expect("a sampler")),
        guidance: run["guidance"].as_f64().expect("a number") as f32,
        seed: run["seed"].as_u64().expect("a number"),
        ..Request::new(prompt("prompt"), prompt("negative"))
    }
}

#[test]
fn whole_runs() {
    hold_runs(&Device::cpu().unwrap(), LATENTS);
}

#[test]
fn whole_runs_on_gpus() {
    gpu::devices().iter().for_each(|gpu| hold_runs(gpu, GPU * LATENTS));
}

fn hold_runs(device: &Device, bound: f64) {
    for golden in fixtures() {
        let given = golden.tensors();
        let pipeline = Pipeline::open(&golden.folder, Mapping::Read).unwrap();
        for (name, run) in &golden.runs() {
            let request = request(run);
            let what = format!("{} {name}", golden.name);
            let latents = pipeline.sample(device, &request, &mut |_| {}).unwrap();
            agree(&format!("{what} latents"), &latents, &given.tensor(&format!("latents.{name}")).unwrap(), bound);

            let mut frames: Vec<Frame> = Vec::new();
            pipeline.decode(device, &latents, request.fps, &mut frames, &mut |_| {}).unwrap();
            let want = given.tensor(&format!("frames.{name}")).unwrap();
            assert_eq!([frames.len(), request.height, request.width, 3], want.shape()[..], "{what}");
            let near = rgb(&frames).iter().zip(want.data()).filter(|(got, want)| got.abs_diff(**want) <= 1).count();
            let share = near as f64 / want.data().len() as f64;
            println!("{what} pixels: {share:.6}");
            assert!(share >= PIXELS, "{what}: {share} of the bytes are within 1/255");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn the_same_bits_for_any_thread_count() {
    for golden in fixtures() {
        let pipeline = Pipeline::open(&golden.folder, Mapping::Map).unwrap();
        let request = request(golden.runs().values().next().expect("a run"));
        for level in SimdLevel::available() {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let options = DeviceOptions { level: Some(*level), ..DeviceOptions::default() };
                    let device = Device::cpu_with(options).unwrap();
                    let latents = pipeline.sample(&device, &request, &mut |_| {}).unwrap();
                    let mut frames: Vec<Frame> = Vec::new();
                    pipeline.decode(&device, &latents, 16, &mut frames, &mut |_| {}).unwrap();
                    (bits(&read(&latents)), rgb(&frames))
                })
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert!(run(threads) == one, "{}, {level}: {threads} threads", golden.name);
            }
        }
    }
}

#[test]
fn the_same_bits_twice_on_a_gpu() {
    for gpu in gpu::devices() {
        for golden in fixtures().iter().take(2) {
            let pipeline = Pipeline::open(&golden.folder, Mapping::Map).unwrap();
            let request = request(golden.runs().values().next().expect("a run"));
            let run = || {
                let latents = pipeline.sample(gpu, &request, &mut |_| {}).unwrap();
                let mut frames: Vec<Frame> = Vec::new();
                pipeline.decode(gpu, &latents, 16, &mut frames, &mut |_| {}).unwrap();
                (bits(&read(&latents)), rgb(&frames))
            };
            assert!(run() == run(), "{} {gpu:?}", golden.name);
        }
    }
}

#[test]
fn the_same_bits_from_memory_as_from_the_folder() {
    let device = Device::cpu().unwrap();
    for golden in fixtures() {
        let request = request(golden.runs().values().next().expect("a run"));
        let run = |pipeline: &Pipeline| {
            let latents = pipeline.sample(&device, &request, &mut |_| {}).unwrap();
            let mut frames: Vec<Frame> = Vec::new();
            pipeline.decode(&device, &latents, 16, &mut frames, &mut |_| {}).unwrap();
            (bits(&read(&latents)), rgb(&frames))
        };
        let folder = run(&Pipeline::open(&golden.folder, Mapping::Map).unwrap());
        let memory = Pipeline::from_checkpoint(checkpoints::in_memory(&golden.folder).unwrap()).unwrap();
        assert!(run(&memory) == folder, "{}", golden.name);
    }
}
