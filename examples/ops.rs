//! The tensor engine alone: maps a safetensors file, runs a convolution, a norm and attention, and reads the result back.
//!
//! `cargo run --release --example ops [FILE.safetensors PREFIX [DEVICE]]`, by default on the decoder of a tiny checkpoint
//! and on the processor; the tensors used are `PREFIX.weight` `[N, C, 3, 3, 3]` and `PREFIX.bias` `[N]`. A DEVICE is cpu,
//! or with `--features vulkan` the number of a GPU, from 0.

use std::path::Path;

use zoetrope::ops::{self, Conv3dParams, KeyValue, OutputType};
use zoetrope::rng::randn;
use zoetrope::weights::{Mapping, Weights};
use zoetrope::{Device, DeviceOptions, Result, Tensor};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let vae = "tests/fixtures/checkpoints/b/vae/diffusion_pytorch_model.safetensors";
    let file =
        arguments.next().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(vae).display().to_string());
    let prefix = arguments.next().unwrap_or_else(|| "decoder.mid_block.resnets.0.conv1".into());

    // The kernel stays in the file's own pages and dtype; small vectors become tensors.
    let device = match arguments.next().as_deref() {
        None | Some("cpu") => Device::cpu()?,
        Some(number) => Device::vulkan(number.parse().expect("the number of a GPU"), DeviceOptions::default())?,
    };
    let weights = Weights::open(file.as_ref(), Mapping::Map)?.at(prefix);
    let kernel = weights.get("weight")?;
    let &[outputs, inputs, ..] = kernel.shape().dims() else { panic!("a convolution has five axes") };
    let bias = Tensor::from_slice(&device, [outputs], &weights.vector("bias", outputs)?)?;
    println!("{kernel:?} on {device:?}");

    // Two frames of 8x6 pixels, channels last; causal in time, "same" in space.
    let video = Tensor::from_slice(&device, [2, 8, 6, inputs], &randn(0, 2 * 8 * 6 * inputs))?;
    let params = Conv3dParams { stride: [1; 3], pad_front: 2, pad: [1; 4] };
    let features = ops::conv3d(&video, None, &kernel, Some(&bias), params)?;

    let ones = Tensor::from_slice(&device, [outputs], &vec![1.0; outputs])?;
    let tokens = ops::rms_norm(&features, &ones, 1e-6, OutputType::F32)?.reshape([2 * 8 * 6, outputs])?;

    // Every pixel attends to every other, one head.
    let keys = KeyValue::new(tokens.clone(), tokens.clone());
    let mixed = ops::attention(&tokens, &[keys], 1, 1.0 / (outputs as f32).sqrt(), OutputType::F32)?;

    let values = mixed.values()?;
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    println!("{} to {} to {}; mean {mean:.4}", video.shape(), features.shape(), mixed.shape());
    println!("{:?}", device.pool_stats());
    Ok(())
}
