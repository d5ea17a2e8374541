//! Temporary folders and small checkpoints to put in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use zoetrope::models::{Configs, umt5, wan, wan_vae};
use zoetrope::weights::{Checkpoint, Mapping, Warning, Weights};
use zoetrope::{Result, Shape};

use crate::checkpoints::in_memory;

/// A folder that is removed when it goes out of scope.
pub struct Temp(PathBuf);

impl Temp {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("zoetrope-weights-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        // What cannot be removed is left to the system; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";
pub const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
pub const TEXT: &str = "text_encoder/model.safetensors";

/// A tiny checkpoint with every component, its tensors counting upwards.
pub fn checkpoint() -> Temp {
    let temp = Temp::new();
    for component in ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        fs::create_dir(temp.path(component)).unwrap();
    }
    write_json(
        &temp.path("model_index.json"),
        &json!({
            "_class_name": "WanPipeline",
            "_diffusers_version": "0.42.1",
            "scheduler": ["diffusers", "UniPCMultistepScheduler"],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "WanTransformer3DModel"],
            "transformer_2": [null, null],
            "boundary_ratio": null,
            "expand_timesteps": false,
            "vae": ["diffusers", "AutoencoderKLWan"],
        }),
    );
    write_json(&temp.path("scheduler/scheduler_config.json"), &json!({ "flow_shift": 3.0 }));
    fs::write(temp.path("tokenizer/tokenizer.json"), "{}").unwrap();
    let text = json!({
        "model_type": "umt5", "vocab_size": 11, "d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 3,
    });
    let transformer = json!({
        "_class_name": "WanTransformer3DModel", "num_attention_heads": 2, "attention_head_dim": 6, "in_channels": 4,
        "out_channels": null, "text_dim": 8, "freq_dim": 10, "ffn_dim": 14, "num_layers": 2, "patch_size": [1, 2, 2],
    });
    let vae = json!({
        "_class_name": "AutoencoderKLWan", "base_dim": 4, "z_dim": 4, "dim_mult": [1, 2], "num_res_blocks": 1,
        "temperal_downsample": [true], "latents_mean": [0, 0.5, 0, 0], "latents_std": [1, 1, 2, 1],
        "scale_factor_temporal": 2, "scale_factor_spatial": 2,
    });
    for (component, config) in [("text_encoder", text), ("transformer", transformer), ("vae", vae)] {
        write_json(&temp.path(component).join("config.json"), &config);
    }
    let configs = Configs::read(&Checkpoint::open(&temp.0, Mapping::Map).unwrap()).unwrap();
    write_tensors(&temp.path(TEXT), umt5::name_table(&configs.text_encoder).tensors());
    write_tensors(&temp.path(TRANSFORMER), wan::name_table(&configs.transformer).tensors());
    write_tensors(&temp.path(VAE), wan_vae::name_table(&configs.vae).tensors());
    temp
}

/// Writes tensors in single precision.
pub fn write_safetensors(path: &Path, tensors: &[(&str, Shape, &[f32])]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (name, TensorView::new(Dtype::F32, shape.dims().to_vec(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Writes tensors of these names and shapes, their values counting upwards.
pub fn write_tensors<'a>(path: &Path, tensors: impl Iterator<Item = (&'a str, Shape)>) {
    let mut count = 0;
    let values: Vec<(&str, Shape, Vec<f32>)> = tensors
        .map(|(name, shape)| {
            let start = count;
            count += shape.numel();
            (name, shape, (start..count).map(|i| i as f32).collect())
        })
        .collect();
    let tensors: Vec<_> = values.iter().map(|(name, shape, values)| (*name, *shape, &values[..])).collect();
    write_safetensors(path, &tensors);
}

/// A checkpoint's components, opened and checked.
pub struct Opened {
    pub text: Weights,
    pub transformer: Weights,
    pub vae: Weights,
    pub warnings: Vec<Warning>,
}

/// Opens everything that a run opens.
pub fn open(folder: &Temp, mapping: Mapping) -> Result<Opened> {
    open_checkpoint(&Checkpoint::open(&folder.0, mapping)?)
}

/// The same of the folder's files in memory.
pub fn open_in_memory(folder: &Temp) -> Result<Opened> {
    open_checkpoint(&in_memory(&folder.0)?)
}

fn open_checkpoint(checkpoint: &Checkpoint) -> Result<Opened> {
    let configs = Configs::read(checkpoint)?;
    let mut warnings = checkpoint.warnings().to_vec();
    let (text, more) = checkpoint.component("text_encoder", &umt5::name_table(&configs.text_encoder))?;
    warnings.extend(more);
    let (transformer, more) = checkpoint.component("transformer", &wan::name_table(&configs.transformer))?;
    warnings.extend(more);
    let (vae, more) = checkpoint.component("vae", &wan_vae::name_table(&configs.vae))?;
    warnings.extend(more);
    checkpoint.fingerprint()?;
    Ok(Opened { text, transformer, vae, warnings })
}

pub fn write_json(path: &Path, value: &Value) {
    fs::write(path, serde_json::to_string_pretty(value).unwrap()).unwrap();
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Changes a JSON file.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) {
    let mut value = read_json(path);
    edit(value.as_object_mut().unwrap());
    write_json(path, &value);
}

/// The header and the data of a safetensors file.
pub fn split(bytes: &[u8]) -> (Map<String, Value>, Vec<u8>) {
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let Value::Object(map) = serde_json::from_slice(&bytes[8..8 + header]).unwrap() else { panic!("no object") };
    (map, bytes[8 + header..].to_vec())
}

/// A safetensors file of this header and data.
pub fn join(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// Changes header and data of a safetensors file.
pub fn edit_tensors(path: &Path, edit: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
    let (mut header, mut data) = split(&fs::read(path).unwrap());
    edit(&mut header, &mut data);
    fs::write(path, join(&Value::Object(header).to_string(), &data)).unwrap();
}

/// Adds a tensor of zeros at the end.
pub fn add_tensor(path: &Path, name: &str, dtype: &str, dims: &[usize], bytes: usize) {
    edit_tensors(path, |header, data| {
        let start = data.len();
        data.resize(start + bytes, 0);
        let entry = json!({ "dtype": dtype, "shape": dims, "data_offsets": [start, start + bytes] });
        header.insert(name.to_owned(), entry);
    });
}

/// Takes a tensor out of a file, its bytes included.
pub fn remove_tensor(path: &Path, name: &str) -> (Value, Vec<u8>) {
    let mut removed = None;
    edit_tensors(path, |header, data| {
        let entry = header.remove(name).unwrap();
        let [start, end] = offsets(&entry);
        let bytes = data.drain(start..end).collect();
        for other in header.values_mut() {
            let [a, b] = offsets(other);
            if a >= end {
                other["data_offsets"] = json!([a - (end - start), b - (end - start)]);
            }
        }
        removed = Some((entry, bytes));
    });
    removed.unwrap()
}

pub fn offsets(entry: &Value) -> [usize; 2] {
    serde_json::from_value(entry["data_offsets"].clone()).unwrap()
}

/// Splits a component's file into two shards with an index; returns the index.
pub fn shard(folder: &Temp, file: &str) -> PathBuf {
    let path = folder.path(file);
    let (header, data) = split(&fs::read(&path).unwrap());
    let stem = file.strip_suffix(".safetensors").unwrap();
    let mut map = Map::new();
    for part in 0..2 {
        let name = format!("{stem}-0000{}-of-00002.safetensors", part + 1);
        let (mut own, mut bytes) = (Map::new(), Vec::new());
        for (tensor, entry) in header.iter().enumerate().filter(|(i, _)| i % 2 == part).map(|(_, pair)| pair) {
            let [start, end] = offsets(entry);
            let mut entry = entry.clone();
            entry["data_offsets"] = json!([bytes.len(), bytes.len() + end - start]);
            bytes.extend_from_slice(&data[start..end]);
            own.insert(tensor.clone(), entry);
            map.insert(tensor.clone(), name.rsplit('/').next().unwrap().into());
        }
        fs::write(folder.path(&name), join(&Value::Object(own).to_string(), &bytes)).unwrap();
    }
    fs::remove_file(path).unwrap();
    let index = folder.path(&format!("{file}.index.json"));
    write_json(&index, &json!({ "metadata": { "total_size": data.len() }, "weight_map": map }));
    index
}
