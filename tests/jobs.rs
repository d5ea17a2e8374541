//! Several jobs on one device, and models that stay loaded between them.

mod checkpoints;
mod gpu;

use std::path::Path;

use zoetrope::weights::Mapping;
use zoetrope::{Cancel, Device, DeviceOptions, Error, Pipeline, Progress, Prompt, Request, Stage, Steps};

fn pipeline() -> Pipeline {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/b");
    Pipeline::open(folder, Mapping::Map).unwrap()
}

fn request(pipeline: &Pipeline, seed: u64) -> Request {
    let steps = Steps::Schedule { schedule: Default::default(), steps: 2, shift: None };
    let [prompt, negative_prompt] = [vec![5, 9, 1], vec![1]].map(Prompt::Tokens);
    Request { prompt, negative_prompt, width: 48, height: 32, frames: 5, steps, seed, ..pipeline.request("") }
}

fn latents(pipeline: &Pipeline, device: &Device, seed: u64) -> zoetrope::Result<Vec<u32>> {
    let latents = pipeline.sample(device, &request(pipeline, seed), &mut |_| {})?;
    Ok(latents.to_vec()?.iter().map(|value| value.to_bits()).collect())
}

/// Each opened for one test: what it holds is that test's.
fn devices() -> Vec<Device> {
    let gpus = (0..gpu::devices().len()).map(|index| Device::vulkan(index, DeviceOptions::default()).unwrap());
    std::iter::once(Device::cpu().unwrap()).chain(gpus).collect()
}

#[test]
fn a_device_whose_work_was_cancelled_serves_the_next_job() {
    let pipeline = pipeline();
    for device in devices() {
        let before = latents(&pipeline, &device, 3).unwrap();
        device.cancel().cancel();
        assert!(matches!(latents(&pipeline, &device, 3), Err(Error::Cancelled)), "{device}");
        let again = device.with_cancel(Cancel::default());
        assert_eq!(latents(&pipeline, &again, 3).unwrap(), before, "{device}");
    }
}

#[test]
fn a_cancelled_job_leaves_the_others_on_its_device_alone() {
    let pipeline = pipeline();
    for device in devices() {
        let want = latents(&pipeline, &device, 4).unwrap();
        let [stopped, other] = [(); 2].map(|()| device.with_cancel(Cancel::default()));
        let (first, second) = rayon::join(
            || {
                let stop = &mut |progress| {
                    if matches!(progress, Progress::Step { .. }) {
                        stopped.cancel().cancel();
                    }
                };
                pipeline.sample(&stopped, &request(&pipeline, 5), stop).map(drop)
            },
            || latents(&pipeline, &other, 4),
        );
        assert!(matches!(first, Err(Error::Cancelled)), "{device}: {first:?}");
        assert_eq!(second.unwrap(), want, "{device}");
    }
}

#[test]
fn a_warm_pipeline_gives_the_same_bits_and_copies_weights_once() {
    let (cold, warm) = (pipeline(), pipeline().keep_loaded(true));
    for device in devices() {
        let want: Vec<_> = [6, 7].map(|seed| latents(&cold, &device, seed).unwrap()).into();
        let job = || device.with_cancel(Cancel::default());
        let first = job();
        assert_eq!(latents(&warm, &first, 6).unwrap(), want[0], "{device}");
        // The job that loaded the models is over, and was stopped afterwards: that is nothing to the next.
        first.cancel().cancel();
        let misses = device.pool_stats().misses;
        assert_eq!(latents(&warm, &job(), 7).unwrap(), want[1], "{device}");
        assert!(device.pool_stats().live > 0 && misses > 0, "{device}: vectors of the models stay");
        let planned = warm.plan(&device, &request(&warm, 6)).unwrap();
        assert_eq!(planned, cold.plan(&device, &request(&cold, 6)).unwrap());
        assert_eq!(latents(&warm, &job(), 6).unwrap(), want[0], "{device}: a plan changes nothing");
        warm.unload();
        assert_eq!(device.pool_stats().live, 0, "{device}");
    }
}

#[test]
fn embeddings_of_a_stopped_job_serve_another() {
    let (pipeline, device) = (pipeline(), Device::cpu().unwrap());
    let first = device.with_cancel(Cancel::default());
    let request = request(&pipeline, 8);
    let texts = pipeline.encode(&first, &[&request.prompt, &request.negative_prompt], &mut |_| {}).unwrap();
    first.cancel().cancel();
    let [prompt, negative_prompt] = <[_; 2]>::try_from(texts).unwrap().map(Prompt::Embeddings);
    let mut loaded = Vec::new();
    let given = Request { prompt, negative_prompt, ..request.clone() };
    let seen = &mut |progress| {
        if let Progress::Loading(stage) = progress {
            loaded.push(stage);
        }
    };
    let found = pipeline.sample(&device, &given, seen).unwrap().to_vec().unwrap();
    assert_eq!(found, pipeline.sample(&device, &request, &mut |_| {}).unwrap().to_vec().unwrap());
    assert_eq!(loaded, [Stage::Transformer]);
}

#[test]
fn the_sampler_is_seen_after_each_step_and_may_end_the_run() {
    let (pipeline, device) = (pipeline(), Device::cpu().unwrap());
    let request = request(&pipeline, 9);
    let mut seen = Vec::new();
    let last = pipeline.sample_observed(&device, &request, &mut |_| {}, &mut |state| {
        seen.push((state.shape(), state.sigma(), state.latents().to_vec(), state.predicted()));
        Ok(())
    });
    let last = last.unwrap().to_vec().unwrap();
    assert_eq!((seen.len(), seen[1].0, seen[1].1), (2, [16, 2, 4, 6], 0.0));
    // At the end nothing is left to denoise: the prediction is the result.
    assert!(seen[1].2 == last && seen[0].2 != last);
    assert!(seen[1].3.iter().zip(&last).all(|(a, b)| (a - b).abs() < 1e-4));
    let stop = &mut |_: zoetrope::SamplerState<'_>| Err(Error::Cancelled);
    assert!(pipeline.sample_observed(&device, &request, &mut |_| {}, stop).is_err());
}
