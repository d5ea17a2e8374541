//! What the sampler's loop takes beside prompts, against diffusers 0.42.1 (`tools/reference/conditions.py`): a clean first
//! latent frame with a time of its own, a second transformer, more channels. The weights are those of fixture b.

#![allow(clippy::single_range_in_vec_init, reason = "a list of one range of frames is meant")]

mod checkpoints;

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use zoetrope::weights::{Checkpoint, Mapping, Weight, Weights};
use zoetrope::{Clean, Component, Components, Device, Pipeline, Prompt, Request, SecondTransformer, Steps, Tensor};

const BOUND: f64 = 2e-5;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

struct Golden(Vec<u8>);

impl Golden {
    fn read(path: &str) -> Self {
        Self(std::fs::read(fixture(path)).expect("a fixture"))
    }

    fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let view = file.tensor(name).expect("a tensor");
        let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        (view.shape().to_vec(), values)
    }
}

/// The tensors of fixture b's transformer, each as `change` makes it.
fn weights(change: impl Fn(String, Weight) -> Weight) -> Weights {
    let bytes =
        std::fs::read(fixture("checkpoints/b/transformer/diffusion_pytorch_model.safetensors")).expect("weights");
    let stored = Weights::from_bytes("b", bytes.clone()).expect("weights");
    let file = SafeTensors::deserialize(&bytes).expect("weights");
    Weights::from_weights(
        file.names().into_iter().map(|name| change(name.to_owned(), stored.get(name).expect("a tensor"))),
    )
}

/// The same numbers under another name.
fn renamed(name: String, weight: &Weight) -> Weight {
    Weight::from_bytes(name, weight.storage(), weight.shape(), weight.bytes().to_vec()).expect("a weight")
}

/// The first transformer with its two blocks exchanged.
fn exchanged() -> Weights {
    weights(|name, weight| {
        let other = match name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            Some(("0", rest)) => format!("blocks.1.{rest}"),
            Some(("1", rest)) => format!("blocks.0.{rest}"),
            _ => name,
        };
        renamed(other, &weight)
    })
}

/// The first transformer, whose first `more` input channels have their kernels a second time.
fn widened(more: usize) -> Weights {
    weights(|name, weight| {
        if name != "patch_embedding.weight" {
            return weight;
        }
        let dims = weight.shape().dims().to_vec();
        let taps: usize = dims[2..].iter().product();
        let rows = weight.to_vec();
        let rows = rows.chunks(dims[1] * taps).flat_map(|row| [row, &row[..more * taps]].concat()).collect();
        Weight::from_f32(name, [dims[0], dims[1] + more, dims[2], dims[3], dims[4]], rows)
    })
}

/// A run of 9 frames of 48x32 in 5 steps, from the fixture's noise and texts.
fn run(change: impl FnOnce(&mut Components), ask: impl FnOnce(&mut Request)) -> Result<Vec<f32>, zoetrope::Error> {
    let checkpoint = Checkpoint::open(&fixture("checkpoints/b"), Mapping::Map)?;
    let (mut components, _) = Components::open(&checkpoint)?;
    change(&mut components);
    let pipeline = Pipeline::from_components(checkpoint, components)?;
    let (device, golden) = (Device::cpu()?, Golden::read("golden/b.safetensors"));
    let text = |branch| {
        let (shape, values) = golden.values(branch);
        Tensor::from_slice(&device, &shape[..], &values).map(Prompt::Embeddings)
    };
    let (_, noise) = Golden::read("conditions.safetensors").values("noise");
    let base = Request::new(text("text.cond")?, text("text.uncond")?);
    let steps = Steps::Schedule { schedule: Default::default(), steps: 5, shift: None };
    let mut request = Request { width: 48, height: 32, frames: 9, steps, latents: Some(noise), guidance: 5.0, ..base };
    ask(&mut request);
    pipeline.sample(&device, &request, &mut |_| {})?.to_vec()
}

fn second(components: &mut Components) {
    let config = components.transformer.as_ref().expect("a transformer").config.clone();
    let model = Component { config, weights: exchanged() };
    components.transformer_2 = Some(SecondTransformer { model, boundary: 0.9 });
}

/// The first of three latent frames is given.
fn clean(request: &mut Request) {
    let (_, mut latents) = Golden::read("conditions.safetensors").values("clean");
    // What is not given is not read.
    (0..latents.len()).filter(|i| i / 24 % 3 > 0).for_each(|i| latents[i] = f32::NAN);
    request.conditions.clean = Some(Clean { latents, frames: vec![0..1], timestep: 0.0 });
}

#[track_caller]
fn agree(what: &str, found: &[f32]) {
    let (_, want) = Golden::read("conditions.safetensors").values(&format!("latents.{what}"));
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let off = square(&mut found.iter().zip(&want).map(|(a, b)| f64::from(a - b)));
    let error = off / square(&mut want.iter().map(|value| f64::from(*value)));
    println!("{what}: {error:.2e}");
    assert!(found.len() == want.len() && error <= BOUND, "{what}: {error}");
}

#[test]
fn a_clean_first_frame_with_its_own_time() {
    agree("clean", &run(|_| {}, clean).unwrap());
}

#[test]
fn a_second_transformer_below_the_boundary() {
    agree("experts", &run(second, |request| request.guidance_2 = Some(3.0)).unwrap());
}

#[test]
fn both_at_once() {
    let ask = |request: &mut Request| {
        request.guidance_2 = Some(3.0);
        clean(request);
    };
    agree("both", &run(second, ask).unwrap());
}

#[test]
fn channels_beside_the_latent() {
    let wide = |components: &mut Components| {
        let model = components.transformer.as_mut().expect("a transformer");
        model.config.in_channels += 4;
        model.weights = widened(4);
    };
    let channels = || Some(Golden::read("conditions.safetensors").values("channels").1);
    agree("channels", &run(wide, |request| request.conditions.channels = channels()).unwrap());
    let refused = |found: Result<Vec<f32>, zoetrope::Error>, said: &str| {
        let error = found.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    };
    refused(run(wide, |_| {}), "reads 4 channels beside");
    refused(run(|_| {}, |request| request.conditions.channels = channels()), "reads 0 channels beside");
}

#[test]
fn conditions_that_do_not_fit_are_refused_by_name() {
    let with = |change: fn(&mut Clean)| {
        run(
            |_| {},
            |request| {
                clean(request);
                change(request.conditions.clean.as_mut().expect("clean frames"));
            },
        )
    };
    for (change, said) in [
        ((|clean| clean.latents.truncate(5)) as fn(&mut Clean), "clean latents: 5 values"),
        (|clean| clean.frames = vec![2..4], "clean frames"),
        (|clean| clean.frames = vec![1..2, 0..1], "clean frames"),
        (|clean| clean.frames = vec![0..2], "clean latents: some are not finite"),
        (|clean| clean.timestep = -1.0, "clean timestep"),
    ] {
        let error = with(change).expect_err(said).to_string();
        assert!(error.starts_with(said), "{error}");
    }
    let odd = |components: &mut Components| {
        second(components);
        components.transformer_2.as_mut().expect("a second one").boundary = 1.5;
    };
    assert!(run(odd, |_| {}).expect_err("no share").to_string().starts_with("boundary"));
}

#[test]
fn a_role_that_nobody_plays_is_named() {
    let error = |drop: fn(&mut Components)| run(drop, |_| {}).expect_err("a missing role").to_string();
    assert!(error(|components| components.transformer = None).starts_with("transformer: this pipeline has none"));
    assert!(error(|components| components.vae = None).starts_with("VAE: this pipeline has none"));
    assert!(run(|components| components.text_encoder = None, |_| {}).is_ok(), "embeddings need no text encoder");
}
