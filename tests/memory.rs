//! Memory: a decode needs as much for a long video as for a short one.

use std::path::Path;

use zoetrope::video::NullSink;
use zoetrope::weights::Mapping;
use zoetrope::{Device, Pipeline, Progress, Tensor};

/// The pool's high water, in bytes, of decoding `frames` frames of 128x128.
fn high_water(pipeline: &Pipeline, frames: usize) -> u64 {
    let device = Device::cpu().unwrap();
    let shape = [16, (frames - 1) / 4 + 1, 16, 16];
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    let latents = Tensor::from_slice(&device, shape, &values).unwrap();
    let mut decoded = 0;
    let count = &mut |event| decoded += usize::from(matches!(event, Progress::Frame { .. }));
    pipeline.decode(&device, &latents, 16, &mut NullSink, count).unwrap();
    assert_eq!(decoded, frames);
    let stats = device.pool_stats();
    assert!(stats.live + stats.kept <= stats.high_water);
    stats.high_water
}

#[test]
fn decoding_81_frames_takes_no_more_than_17() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/b");
    let pipeline = Pipeline::open(folder, Mapping::Map).unwrap();
    let (short, long) = (high_water(&pipeline, 17), high_water(&pipeline, 81));
    println!("high water: {short} bytes for 17 frames, {long} for 81");
    assert!(long as f64 <= 1.1 * short as f64, "{long} against {short}");
}
