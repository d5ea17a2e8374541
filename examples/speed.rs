//! Times ops and stages on request, for side-by-side measurement with another engine: `tools/reference/speed.py`.
//!
//! `speed THREADS DIR [exact-conv]` reads a task a line from standard input and answers with the seconds of one run of it:
//! `linear ROWS K N`, `attention HEADS TOKENS HEAD_DIM`, `conv3d IN OUT FRAMES SIDE` (causal, after two frames), with bf16
//! weights; of the checkpoint in DIR `text TOKENS`, `forward FRAMES HEIGHT WIDTH` (of the latent; keys and values of the
//! text are made before) and `decode FRAMES HEIGHT WIDTH`. A task's inputs are made when it is first asked for, and kept.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::time::Instant;

use zoetrope::models::{Configs, umt5, wan, wan_vae};
use zoetrope::ops::{self, Activation, Conv3dParams, KeyValue, OutputType};
use zoetrope::rng::randn;
use zoetrope::weights::{Checkpoint, Mapping, Storage, Weight};
use zoetrope::{Device, DeviceOptions, Tensor};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
/// Runs a task once and drops what comes of it.
type Task = Box<dyn FnMut() -> zoetrope::Result<()> + Send>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (threads, folder, exact_conv) = match &arguments[..] {
        [threads, folder] => (threads.parse()?, folder, false),
        [threads, folder, word] if word == "exact-conv" => (threads.parse()?, folder, true),
        _ => return Err("usage: speed THREADS DIR [exact-conv]".into()),
    };
    let device = Device::cpu_with(DeviceOptions { exact_conv, ..DeviceOptions::default() })?;
    let checkpoint = Checkpoint::open(folder.as_ref(), Mapping::Map)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    eprintln!("{device}, {threads} threads");
    let mut tasks: HashMap<String, Task> = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let seconds = pool.install(|| -> Outcome<f64> {
            if !tasks.contains_key(&line) {
                tasks.insert(line.clone(), task(&line, &checkpoint, &device)?);
            }
            let run = tasks.get_mut(&line).ok_or("a task that is there")?;
            let start = Instant::now();
            run()?;
            Ok(start.elapsed().as_secs_f64())
        })?;
        println!("{seconds}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn task(line: &str, checkpoint: &Checkpoint, device: &Device) -> Outcome<Task> {
    let (name, numbers) = line.split_once(' ').ok_or("a task has a name and sizes")?;
    let sizes = numbers.split(' ').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let device = device.clone();
    Ok(match (name, &sizes[..]) {
        ("linear", &[rows, k, n]) => {
            let (x, w, bias) = (tensor(&device, &[rows, k])?, weight(&[n, k])?, tensor(&device, &[n])?);
            Box::new(move || ops::linear(&x, &w, Some(&bias), Activation::None, OutputType::F32).map(drop))
        }
        ("attention", &[heads, tokens, head_dim]) => {
            let [q, k, v] = [(); 3].map(|()| tensor(&device, &[tokens, heads * head_dim]));
            let (q, keys) = (q?, [KeyValue::new(k?, v?)]);
            let scale = 1.0 / (head_dim as f32).sqrt();
            Box::new(move || ops::attention(&q, &keys, heads, scale, OutputType::F32).map(drop))
        }
        ("conv3d", &[inputs, outputs, frames, side]) => {
            let (x, tail) =
                (tensor(&device, &[frames, side, side, inputs])?, tensor(&device, &[2, side, side, inputs])?);
            let (w, bias) = (weight(&[outputs, inputs, 3, 3, 3])?, tensor(&device, &[outputs])?);
            let params = Conv3dParams { stride: [1; 3], pad_front: 0, pad: [1; 4] };
            Box::new(move || ops::conv3d(&x, Some(&tail), &w, Some(&bias), params).map(drop))
        }
        ("text", &[tokens]) => {
            let config = Configs::read(checkpoint)?.text_encoder;
            let (weights, _) = checkpoint.component("text_encoder", &umt5::name_table(&config))?;
            let encoder = umt5::Encoder::load(&weights, config, &device)?;
            let ids: Vec<u32> = (0..tokens as u32).map(|i| 3 + i % 200).collect();
            Box::new(move || encoder.forward(&device, &ids).map(drop))
        }
        ("forward", &[frames, height, width]) => {
            let config = Configs::read(checkpoint)?.transformer;
            let (weights, _) = checkpoint.component("transformer", &wan::name_table(&config))?;
            let latent = tensor(&device, &[config.in_channels, frames, height, width])?;
            let text = tensor(&device, &[32, config.text_dim])?;
            let transformer = wan::Transformer::load(&weights, config, &device)?;
            let context = transformer.context(&text)?;
            Box::new(move || transformer.forward(&latent, 500.0, &[&context]).map(drop))
        }
        ("decode", &[frames, height, width]) => {
            let config = Configs::read(checkpoint)?.vae;
            let (weights, _) = checkpoint.component("vae", &wan_vae::name_table(&config))?;
            let latent = tensor(&device, &[config.z_dim, frames, height, width])?;
            let decoder = wan_vae::Decoder::load(&weights, config, &device)?;
            Box::new(move || decoder.decode(&mut Default::default(), &latent, &mut |_| Ok(())))
        }
        _ => return Err(format!("no task {line:?}").into()),
    })
}

fn tensor(device: &Device, shape: &[usize]) -> zoetrope::Result<Tensor> {
    Tensor::from_slice(device, shape, &randn(shape.len() as u64, shape.iter().product()))
}

fn weight(shape: &[usize]) -> zoetrope::Result<Weight> {
    let values = randn(7, shape.iter().product());
    let bytes: Vec<u8> = values.iter().flat_map(|&x| half::bf16::from_f32(0.02 * x).to_le_bytes()).collect();
    Weight::from_bytes("weight", Storage::BF16, shape, bytes)
}
