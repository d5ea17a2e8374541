//! The checkpoint's decoder, whose convolutions have channels enough for Winograd's algorithm.

use zoetrope::models::{Configs, wan_vae};
use zoetrope::{Device, DeviceOptions, Tensor};

/// The video of one latent, and the same latent frame by frame.
fn decode(exact_conv: bool) -> [Vec<f32>; 2] {
    let checkpoint = zoetrope_bundled::checkpoint().expect("the bundled checkpoint");
    let config = Configs::read(&checkpoint).expect("its configuration").vae;
    let (weights, _) = checkpoint.component("vae", &wan_vae::name_table(&config)).expect("its decoder");
    let device = Device::cpu_with(DeviceOptions { exact_conv, ..DeviceOptions::default() }).expect("a device");
    let decoder = wan_vae::Decoder::load(&weights, config.clone(), &device).expect("its decoder");
    // Smooth in space, as latents are, and different in every channel.
    let [channels, frames, side] = [config.z_dim, 3, 6];
    let value =
        |c: usize, t: usize, y: usize, x: usize| ((c * 7 + 1) as f32 * 0.3 + (t + y * 2 + x) as f32 * 0.4).sin();
    let part = |range: std::ops::Range<usize>| {
        let at = |c| range.clone().flat_map(move |t| (0..side * side).map(move |p| value(c, t, p / side, p % side)));
        let values: Vec<f32> = (0..channels).flat_map(at).collect();
        Tensor::from_slice(&device, [channels, range.len(), side, side], &values).expect("a latent")
    };
    [frames, 1].map(|each| {
        let (mut state, mut video) = (wan_vae::DecoderState::default(), Vec::new());
        for first in (0..frames).step_by(each) {
            let keep = &mut |frames: Tensor| {
                video.extend_from_slice(&frames.values()?);
                Ok(())
            };
            decoder.decode(&mut state, &part(first..first + each), keep).expect("frames");
        }
        video
    })
}

#[test]
fn winograds_convolutions_are_within_their_bound_and_do_not_depend_on_the_calls() {
    let [fast, in_parts] = decode(false);
    let [exact, _] = decode(true);
    assert!(fast.iter().map(|v| v.to_bits()).eq(in_parts.iter().map(|v| v.to_bits())));
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let off = square(&mut fast.iter().zip(&exact).map(|(a, b)| a - b));
    let error = (off / square(&mut exact.iter().copied())).sqrt();
    println!("relative L2 error {error:.1e}");
    // Not zero: then the test would compare one path with itself.
    assert!(error > 0.0 && error < 5e-5, "{error}");
}
