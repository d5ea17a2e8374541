//! Text embeddings on disk: a prompt that was used before does not need the text encoder, 11 GB of it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac_sha256::Hash as Sha256;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use zoetrope::{Device, Tensor};

use crate::hash::hex;

/// The most that is kept: some forty prompts of full length, many more of usual ones.
const MAX_BYTES: u64 = 256 << 20;
/// Longer than any entry: 512 rows of 4096 values and the header.
const MAX_ENTRY: u64 = 16 << 20;

const TENSOR: &str = "text";
const CHECK: &str = "sha256";
const ENDING: &str = "safetensors";

/// The entries in one folder. Failures of any kind only mean that a text is encoded again.
#[derive(Clone, Debug)]
pub struct TextCache {
    folder: PathBuf,
    max_bytes: u64,
}

impl TextCache {
    /// The user's, if the system has a place for such things.
    pub fn of_user() -> Option<Self> {
        Some(Self { folder: dirs::cache_dir()?.join("zoetrope/text"), max_bytes: MAX_BYTES })
    }

    /// The name of an entry: `encoder` tells all that the embeddings of these ids depend on.
    pub fn key(encoder: &[String], ids: &[u32]) -> String {
        let mut hash = Sha256::new();
        for part in encoder {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        hex(hash)
    }

    /// The embeddings `[L, D]` that were put under this key, if they are there and whole.
    pub fn get(&self, key: &str, device: &Device) -> Option<Tensor> {
        let path = self.path(key);
        let file = File::open(&path).ok()?;
        let mut bytes = Vec::new();
        (&file).take(MAX_ENTRY).read_to_end(&mut bytes).ok()?;
        let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
        let entry = SafeTensors::deserialize(&bytes).ok()?;
        let view = entry.tensor(TENSOR).ok().filter(|view| view.dtype() == Dtype::F32 && view.shape().len() == 2)?;
        let mut hash = Sha256::new();
        hash.update(view.data());
        if header.metadata().as_ref()?.get(CHECK)? != &hex(hash) {
            return None;
        }
        // What was used last is dropped last.
        let _ = file.set_modified(SystemTime::now());
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        Tensor::from_slice(device, <[usize; 2]>::try_from(view.shape()).ok()?, &values).ok()
    }

    /// Keeps embeddings, and drops what was not used for longest if there is too much.
    pub fn put(&self, key: &str, text: &Tensor) {
        // The run goes on without the entry.
        let _ = self.write(key, text);
        self.trim();
    }

    fn write(&self, key: &str, text: &Tensor) -> std::io::Result<()> {
        let values = text.values().map_err(std::io::Error::other)?;
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut hash = Sha256::new();
        hash.update(&values);
        let notes = Some([(CHECK.to_owned(), hex(hash))].into());
        let view = TensorView::new(Dtype::F32, text.dims().to_vec(), &values).map_err(std::io::Error::other)?;
        let bytes = safetensors::serialize([(TENSOR, view)], notes).map_err(std::io::Error::other)?;
        fs::create_dir_all(&self.folder)?;
        let partial = self.folder.join(format!(".{key}.{}", std::process::id()));
        let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, self.path(key)));
        if written.is_err() {
            let _ = fs::remove_file(partial);
        }
        written
    }

    fn trim(&self) {
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Some(meta) = entry.metadata().ok().filter(|meta| meta.is_file()) else { continue };
            entries.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), entry.path()));
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= self.max_bytes {
                break;
            }
            // Another run may have been quicker.
            let _ = fs::remove_file(path);
            total -= bytes;
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(Path::new(key).with_extension(ENDING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(name: &str, max_bytes: u64) -> TextCache {
        let folder = std::env::temp_dir().join(format!("zoetrope-text-{}-{name}", std::process::id()));
        TextCache { folder, max_bytes }
    }

    fn text(device: &Device, first: f32) -> Tensor {
        let values: Vec<f32> = (0..12).map(|i| first + i as f32 / 3.0).collect();
        Tensor::from_slice(device, [3, 4], &values).expect("a tensor")
    }

    #[test]
    fn what_was_put_comes_back_and_what_is_damaged_does_not() {
        let (cache, device) = (cache("damage", 1 << 20), Device::cpu().expect("a device"));
        let key = TextCache::key(&["encoder".into()], &[5, 1]);
        assert!(cache.get(&key, &device).is_none());
        cache.put(&key, &text(&device, 0.1));
        let found = cache.get(&key, &device).expect("the entry");
        assert_eq!(
            (found.dims(), found.to_vec().expect("values")),
            (&[3, 4][..], text(&device, 0.1).to_vec().expect("values"))
        );
        let path = cache.path(&key);
        let whole = fs::read(&path).expect("the entry");
        for at in [0, 5, 20, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            fs::write(&path, bytes).expect("a file");
            assert!(cache.get(&key, &device).is_none(), "a flipped bit at {at}");
            fs::write(&path, &whole[..at]).expect("a file");
            assert!(cache.get(&key, &device).is_none(), "cut at {at}");
        }
        cache.put(&key, &text(&device, 0.1));
        assert!(cache.get(&key, &device).is_some(), "a damaged entry is replaced");
        fs::remove_dir_all(&cache.folder).expect("the folder");
    }

    #[test]
    fn keys_differ_with_ids_and_encoder() {
        let keys = [
            TextCache::key(&["a".into(), "b".into()], &[1, 2]),
            TextCache::key(&["ab".into(), "".into()], &[1, 2]),
            TextCache::key(&["a".into(), "b".into()], &[1, 3]),
            TextCache::key(&["a".into(), "b".into()], &[1]),
        ];
        assert!(keys.iter().enumerate().all(|(i, key)| !keys[..i].contains(key)));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let (cache, device) = (cache("size", 700), Device::cpu().expect("a device"));
        let key = |i: u32| TextCache::key(&[], &[i]);
        let pause = || std::thread::sleep(std::time::Duration::from_millis(20));
        for i in 0..3 {
            cache.put(&key(i), &text(&device, i as f32));
            pause();
            assert!(cache.get(&key(0), &device).is_some(), "used again and again");
            pause();
        }
        cache.put(&key(3), &text(&device, 3.0));
        let there: Vec<bool> = (0..4).map(|i| cache.get(&key(i), &device).is_some()).collect();
        assert!(there[0] && there[3] && !there[1], "{there:?}");
        fs::remove_dir_all(&cache.folder).expect("the folder");
    }
}
