//! One function for each reader of files: bytes go in, and whatever they are, nothing panics, hangs or swells.
//!
//! The fuzz targets call these, and an ordinary test calls them with the seeds (`tools/generate/tests/seeds.rs`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use program::recipe;
use zoetrope::sampler::{Schedule, SchedulerConfig};
use zoetrope::text::Tokenizer;
use zoetrope::weights::{Bytes, Checkpoint, NameTable, Weights};
use zoetrope::{Device, Error, Pipeline, Prompt, Result};

/// A file of tensors, as it is opened and read.
pub fn safetensors(data: &[u8]) {
    let Ok(weights) = Weights::from_bytes("a.safetensors", data.to_vec()) else { return };
    for name in ["a.weight", "a.bias", "n.gamma", "ids"] {
        if let Ok(weight) = weights.get(name) {
            let values: usize = weight.shape().dims().iter().product();
            assert_eq!(weight.to_vec().len(), values, "{name}");
        }
        let _ = (weights.vector(name, 2), weights.table(name, 2, 3), weights.matrix(name, &[2, 3]));
    }
    let _ = weights.checked(&table());
}

/// The names of a model with two tensors.
fn table() -> NameTable {
    let mut table = NameTable::new("Model");
    table.layer("a", &[2, 3]);
    table
}

/// An index of files, beside two that it may name.
pub fn index(data: &[u8]) {
    const MODEL: &[u8] = br#"{"_class_name": "WanPipeline", "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"], "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLWan"]}"#;
    let one = |header: &str, bytes: usize| {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + bytes, 1);
        file
    };
    let files: [(&str, Vec<u8>); 4] = [
        ("model_index.json", MODEL.to_vec()),
        ("transformer/diffusion_pytorch_model.safetensors.index.json", data.to_vec()),
        ("transformer/1.safetensors", one(r#"{"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#, 24)),
        ("transformer/2.safetensors", one(r#"{"a.bias":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#, 4)),
    ];
    let checkpoint = Checkpoint::from_memory("folder", files).expect("the model index is valid");
    let _ = checkpoint.component("transformer", &table());
    let _ = checkpoint.component_fingerprint("transformer");
}

/// One of the configurations of a checkpoint, told by the first byte.
pub fn config(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let names = ["model_index.json", "text_encoder/config.json", "transformer/config.json", "vae/config.json"];
    if let Ok(pipeline) = with(names[usize::from(which) % 4], data) {
        request(&pipeline);
    }
}

/// The step grid's configuration.
pub fn scheduler(data: &[u8]) {
    if let Some(config) =
        std::str::from_utf8(data).ok().and_then(|text| SchedulerConfig::parse(text, Path::new("s.json")).ok())
    {
        for schedule in [Schedule::Diffusers, Schedule::Native, Schedule::Distilled] {
            for steps in [1, 2, 7, 1000] {
                let _ = schedule.grid(&config, steps, None).map(|grid| assert_eq!(grid.steps(), steps));
            }
        }
    }
    if let Ok(pipeline) = with("scheduler/scheduler_config.json", data) {
        request(&pipeline);
    }
}

/// What a checkpoint is best run with.
pub fn defaults(data: &[u8]) {
    if let Ok(pipeline) = with("zoetrope.json", data) {
        request(&pipeline);
    }
}

/// The tokenizer's file, and a prompt through it.
pub fn tokenizer(data: &[u8]) {
    if let Ok(tokenizer) = Tokenizer::from_bytes(data, Path::new("tokenizer.json")) {
        for prompt in ["", "two boats, ünï 船 🚢\u{0}\n\n  x", &"boat ".repeat(600)] {
            if let Ok(tokens) = tokenizer.encode(prompt, 64) {
                assert!(!tokens.ids.is_empty());
            }
        }
    }
}

/// Latents to start from.
pub fn latents(data: &[u8]) {
    let path = file(data);
    if let Ok((shape, values)) = checked(&path, zoetrope::load_latents(&path)) {
        assert_eq!(shape.iter().product::<usize>(), values.len());
    }
}

/// The recipe of a video, or of a file of its own.
pub fn recipe(data: &[u8]) {
    let path = file(data);
    if let Ok(recipe) = checked(&path, recipe::Recipe::read(&path)) {
        drop(path);
        let path = file(recipe.to_json().as_bytes());
        assert_eq!(recipe::Recipe::read(&path).expect("what was written is read"), recipe);
    }
}

/// The comment of a video.
pub fn comment(data: &[u8]) {
    let path = file(&with_checksums(data));
    if let Ok(Some(comment)) = checked(&path, zoetrope::video::read_comment(&path)) {
        assert!(comment.len() <= zoetrope::video::MAX_COMMENT.min(data.len()));
    }
}

/// A PNG's checksums set right, which no fuzzer guesses.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let (mut data, mut at) = (data.to_vec(), 8);
    while data.starts_with(b"\x89PNG\r\n\x1A\n") && at + 12 <= data.len() {
        let length = u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= data.len()) else { break };
        let crc = !data[at + 4..end].iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
        });
        data[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
    data
}

/// A failure names the file.
fn checked<T>(path: &Path, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        let named = match error {
            Error::Io { path, .. } => path,
            Error::Checkpoint { file, .. } | Error::Config { file, .. } => file,
            other => panic!("{other}"),
        };
        assert_eq!(named, path, "{error}");
    }
    result
}

/// A file that is removed when it goes out of scope.
struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        // A reader's failure is what counts.
        let _ = fs::remove_file(&self.0);
    }
}

impl std::ops::Deref for TempFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

/// A file of these bytes: one of the same name in each thread, replaced by the next.
fn file(data: &[u8]) -> TempFile {
    let name = format!("zoetrope-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, data).expect("a file");
    TempFile(path)
}

/// A small checkpoint with one file in the place of its own.
fn with(name: &str, data: &[u8]) -> Result<Pipeline> {
    static FILES: OnceLock<Vec<(String, Bytes)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder =
            folder.ancestors().map(|up| up.join("tests/fixtures/checkpoints/b")).find(|folder| folder.exists());
        let (folder, mut files) = (folder.expect("the checkpoint of the tests"), Vec::new());
        for part in ["", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
            for entry in
                fs::read_dir(folder.join(part)).expect("a listing").map(|entry| entry.expect("an entry").path())
            {
                if entry.is_file() {
                    let name =
                        entry.strip_prefix(&folder).expect("within the folder").to_str().expect("unicode").to_owned();
                    files.push((name, Bytes::from(fs::read(entry).expect("a file"))));
                }
            }
        }
        files
    });
    let replaced = [(name.to_owned(), Bytes::from(data.to_vec()))];
    Pipeline::from_checkpoint(Checkpoint::from_memory("folder", files.iter().cloned().chain(replaced))?)
}

/// Defaults and limits that a run derives from the files.
fn request(pipeline: &Pipeline) {
    let mut request = pipeline.request(Prompt::Tokens(vec![1]));
    for frames in [request.frames, 5] {
        request.frames = frames;
        let _ = pipeline.check(&request);
        let _ = pipeline.latent_shape(&request);
        if request.frames < 1000 {
            let _ = pipeline.schedule(&request);
        }
        static DEVICE: OnceLock<Device> = OnceLock::new();
        let _ = pipeline.check_memory(DEVICE.get_or_init(|| Device::cpu().expect("a processor")), &request);
        let _ = pipeline.nearest_frames(frames);
    }
    let _ = (pipeline.checkpoint().fingerprint(), pipeline.warnings().len());
}
