//! A small trained checkpoint of moving shapes, as bytes of the program that links this crate.
//!
//! It has the architecture of Wan2.1 and the layout of a diffusers folder, and nothing else than a real checkpoint has:
//! [`checkpoint`] opens it. `checkpoint/README.md` says what it is and how it was made (`tools/train`).

use zoetrope::Result;
use zoetrope::weights::Checkpoint;

/// What messages and recipes call the checkpoint.
pub const NAME: &str = "bundled";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../checkpoint/", $path)))),*]
    };
}

/// The files of the folder, by their paths within it.
pub const FILES: &[(&str, &[u8])] = files![
    "README.md",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "zoetrope.json",
];

/// Opens the checkpoint in place; nothing is copied.
///
/// # Errors
/// Those of [`Checkpoint::from_memory`], if the files were damaged when they were compiled in.
pub fn checkpoint() -> Result<Checkpoint> {
    Checkpoint::from_memory(NAME, FILES.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_carried_and_they_are_small() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("checkpoint");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder).expect("the checkpoint").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                found.extend(std::fs::read_dir(entry).expect("a part").map(|file| file.expect("a file").path()));
            } else {
                found.push(entry);
            }
        }
        let mut found: Vec<String> = found
            .iter()
            .map(|path| path.strip_prefix(&folder).expect("within").to_str().expect("unicode").replace('\\', "/"))
            .collect();
        found.sort();
        assert_eq!(found, FILES.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>());
        assert!(FILES.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= 8_000_000);
    }
}
