//! Fixture checkpoints, and copies of them to damage.
#![allow(dead_code, reason = "each test file uses its share")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use safetensors::{Dtype, SafeTensors};
use zoetrope::Result;
use zoetrope::weights::Checkpoint;

/// A copy of a fixture checkpoint that is removed when it goes out of scope.
pub struct Copy(pub PathBuf);

impl Copy {
    pub fn of(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let target = std::env::temp_dir().join(format!("zoetrope-copy-{}-{number}", std::process::id()));
        for (path, bytes) in files(&fixture(name)) {
            let path = target.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Self(target)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files of a checkpoint folder: their paths within it, with slashes, and their bytes.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name().into_string().unwrap())).unwrap();
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            files.push((name, fs::read(&path).unwrap()));
        }
    }
    files
}

/// The same checkpoint in memory, under the folder's name.
pub fn in_memory(folder: &Path) -> Result<Checkpoint> {
    Checkpoint::from_memory(folder, files(folder))
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

/// Sets one number of a tensor, wherever below `component` it is stored.
pub fn poison(checkpoint: &Copy, component: &str, tensor: &str, index: usize, value: f32) {
    for entry in fs::read_dir(checkpoint.file(component)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let Ok(view) = file.tensor(tensor) else { continue };
        let stored = match view.dtype() {
            Dtype::F32 => value.to_le_bytes().to_vec(),
            Dtype::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
            other => panic!("{tensor} is {other:?}"),
        };
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize + index * stored.len();
        bytes[start..start + stored.len()].copy_from_slice(&stored);
        fs::write(&path, bytes).unwrap();
        return;
    }
    panic!("{component} has no {tensor}");
}
