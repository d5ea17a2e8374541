//! Runs single stages of a checkpoint on given inputs, for side-by-side comparison with another engine.
//!
//! `stages DIR IN.safetensors OUT.safetensors [exact-conv]`: reads any of `ids.cond`, `ids.uncond` (I32 or I64), `dit.latent`
//! `[C, T, H, W]` with `dit.timestep` `[1]`, and `vae.latent` `[C, T, H, W]`; writes `text.cond`, `text.uncond` `[L, D]`,
//! `dit.cond`, `dit.uncond` (with its own text) and `vae.video` `[T, H, W, 3]`, all F32.

use std::collections::BTreeMap;
use std::error::Error;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use zoetrope::models::{Configs, umt5, wan, wan_vae};
use zoetrope::weights::{Checkpoint, Mapping};
use zoetrope::{Device, DeviceOptions, Tensor};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, input, output, exact_conv) = match &arguments[..] {
        [folder, input, output] => (folder, input, output, false),
        [folder, input, output, word] if word == "exact-conv" => (folder, input, output, true),
        _ => return Err("usage: stages DIR IN.safetensors OUT.safetensors [exact-conv]".into()),
    };
    let bytes = std::fs::read(input)?;
    let given = SafeTensors::deserialize(&bytes)?;
    let checkpoint = Checkpoint::open(folder.as_ref(), Mapping::Map)?;
    let device = Device::cpu_with(DeviceOptions { exact_conv, ..DeviceOptions::default() })?;
    let mut results = BTreeMap::new();

    let mut texts = Vec::new();
    if given.tensor("ids.cond").is_ok() {
        let config = Configs::read(&checkpoint)?.text_encoder;
        let (weights, _) = checkpoint.component("text_encoder", &umt5::name_table(&config))?;
        let encoder = umt5::Encoder::load(&weights, config, &device)?;
        for branch in ["cond", "uncond"] {
            if let Ok(ids) = given.tensor(&format!("ids.{branch}")) {
                let text = encoder.forward(&device, &ids_of(&ids)?)?;
                results.insert(format!("text.{branch}"), text.clone());
                texts.push((branch, text));
            }
        }
    }
    if let (Ok(latent), Ok(timestep), false) =
        (given.tensor("dit.latent"), given.tensor("dit.timestep"), texts.is_empty())
    {
        let config = Configs::read(&checkpoint)?.transformer;
        let (weights, _) = checkpoint.component("transformer", &wan::name_table(&config))?;
        let transformer = wan::Transformer::load(&weights, config, &device)?;
        let contexts = texts.iter().map(|(_, text)| transformer.context(text)).collect::<Result<Vec<_>, _>>()?;
        let contexts: Vec<_> = contexts.iter().collect();
        let velocities = transformer.forward(&tensor_of(&latent, &device)?, floats_of(&timestep)?[0], &contexts)?;
        for ((branch, _), velocity) in texts.iter().zip(velocities) {
            results.insert(format!("dit.{branch}"), velocity);
        }
    }
    if let Ok(latent) = given.tensor("vae.latent") {
        let config = Configs::read(&checkpoint)?.vae;
        let (weights, _) = checkpoint.component("vae", &wan_vae::name_table(&config))?;
        let decoder = wan_vae::Decoder::load(&weights, config, &device)?;
        let mut values = Vec::new();
        let mut shape = [0; 4];
        decoder.decode(&mut Default::default(), &tensor_of(&latent, &device)?, &mut |frames| {
            let frames_before = shape[0];
            shape = frames.dims().try_into().expect("video has rank 4");
            shape[0] += frames_before;
            values.extend_from_slice(&frames.values()?);
            Ok(())
        })?;
        results.insert("vae.video".into(), Tensor::from_slice(&device, shape, &values)?);
    }

    let mut bytes: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, tensor) in results {
        let values = tensor.values()?.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes.insert(name, (tensor.dims().to_vec(), values));
    }
    let views =
        bytes.iter().map(|(name, (shape, bytes))| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    std::fs::write(output, safetensors::serialize(views.collect::<Outcome<Vec<_>>>()?, None)?)?;
    Ok(())
}

fn ids_of(view: &TensorView) -> Outcome<Vec<u32>> {
    let size = match view.dtype() {
        Dtype::I32 => 4,
        Dtype::I64 => 8,
        other => return Err(format!("ids are I32 or I64, not {other:?}").into()),
    };
    // Ids are small and not negative: the low four bytes hold them.
    Ok(view.data().chunks_exact(size).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn floats_of(view: &TensorView) -> Outcome<Vec<f32>> {
    if view.dtype() != Dtype::F32 {
        return Err(format!("expected F32, not {:?}", view.dtype()).into());
    }
    Ok(view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn tensor_of(view: &TensorView, device: &Device) -> Outcome<Tensor> {
    Ok(Tensor::from_slice(device, view.shape(), &floats_of(view)?)?)
}
