//! One model's tensors: a safetensors file, or shards and their index.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::files::Files;
use super::header::{self, Declared, Entry};
use super::json::{self, Pairs};
use super::mapped::DataFile;
use super::names::unread_dtype;
use super::shown;
use super::weight::{MEMORY, Weight};
use crate::error::{Error, Result};
use crate::tensor::shape::{MAX_RANK, Shape};

/// The open files of one model and where each tensor is.
pub(super) struct Component {
    /// The file or the index: what messages about missing tensors name.
    main: PathBuf,
    files: Vec<(Arc<DataFile>, Arc<Path>)>,
    tensors: HashMap<String, Held>,
}

enum Held {
    File(usize, Entry),
    Own(Weight),
}

/// Where a component's tensors are: found by name, not opened yet.
#[derive(Debug)]
pub(super) struct Located {
    /// The index, if there is one.
    pub(super) index: Option<PathBuf>,
    /// The files in the order of their names, and below each the tensors that the index promises there.
    pub(super) files: Vec<(PathBuf, Vec<String>)>,
}

impl Component {
    /// Opens all files and reads their headers.
    pub(super) fn open(located: Located, files: &Files) -> Result<Self> {
        let main = located.index.or_else(|| located.files.first().map(|(path, _)| path.clone())).unwrap_or_default();
        let mut opened = Self { main, files: Vec::new(), tensors: HashMap::new() };
        for (path, promised) in located.files {
            let file = files.open(&path)?;
            let held = opened.files.len();
            for (name, entry) in header::read(&file)? {
                if let Some(Held::File(other, _)) = opened.tensors.get(&name) {
                    let why = format!("is in {} too", opened.files[*other].1.display());
                    return Err(Error::tensor(&path, &shown(&name), why));
                }
                opened.tensors.insert(name, Held::File(held, entry));
            }
            let here = |name: &&String| matches!(opened.tensors.get(*name), Some(Held::File(at, _)) if *at == held);
            if let Some(name) = promised.iter().find(|name| !here(name)) {
                let why =
                    format!("is promised to be in {} and is not; fetch the index and the shards again", path.display());
                return Err(Error::tensor(&opened.main, &shown(name), why));
            }
            opened.files.push((Arc::new(file), path.into()));
        }
        Ok(opened)
    }

    /// Tensors that are in memory already.
    pub(super) fn from_weights(weights: impl IntoIterator<Item = Weight>) -> Self {
        let tensors = weights.into_iter().map(|w| (w.name().to_owned(), Held::Own(w))).collect();
        Self { main: MEMORY.into(), files: Vec::new(), tensors }
    }

    pub(super) fn main(&self) -> &Path {
        &self.main
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// File, axis lengths and dtype of a tensor.
    pub(super) fn describe(&self, name: &str) -> Option<(&Path, &[usize], Declared)> {
        self.tensors.get(name).map(|held| match held {
            Held::File(file, entry) => (&*self.files[*file].1, &*entry.dims, entry.dtype),
            Held::Own(weight) => (weight.file(), weight.dims(), Declared::Known(weight.storage())),
        })
    }

    /// A tensor, by the name under which it is stored; without its bytes unless `read`.
    pub(super) fn load(&self, name: &str, read: bool) -> Result<Weight> {
        let (file, entry) = match self.tensors.get(name) {
            Some(Held::File(file, entry)) => (&self.files[*file], entry),
            Some(Held::Own(weight)) => return Ok(weight.clone()),
            None => return Err(Error::tensor(&self.main, name, "is missing")),
        };
        let (data, path) = file;
        let storage = match entry.dtype {
            Declared::Known(storage) => storage,
            Declared::Unread(dtype) => return Err(Error::tensor(path, &shown(name), unread_dtype(dtype))),
        };
        if entry.dims.len() > MAX_RANK {
            let why = format!("has {} axes, more than {MAX_RANK}", entry.dims.len());
            return Err(Error::tensor(path, &shown(name), why));
        }
        let bytes = if read { data.bytes(entry.range.clone())? } else { Vec::new().into() };
        Ok(Weight::new(name.to_owned(), Arc::clone(path), storage, Shape::new(&entry.dims), bytes))
    }

    /// Whether tensors are copied into memory when they are loaded.
    pub(super) fn copies(&self) -> bool {
        self.files.iter().any(|(file, _)| file.copies())
    }

    /// Whether the mapped files are still what was mapped; what has been read into memory is out of reach anyhow.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.files.iter().filter(|(file, _)| file.is_mapped()).try_for_each(|(file, _)| file.check_unchanged())
    }
}

/// The names that diffusers and transformers give to a model's file.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Endings of files in Python's pickle format.
const PICKLES: [&str; 6] = ["bin", "pth", "ckpt", "pt", "pkl", "pickle"];

/// Finds the files of a component in its folder.
///
/// A file that holds everything comes before an index, and both come before variants such as
/// `diffusion_pytorch_model.fp16.safetensors`, of which there may be one.
pub(super) fn locate(folder: &Path, files: &Files) -> Result<Located> {
    let found = files.list(folder)?;
    let is_there = |name: &String| found.contains(name);
    if let Some(name) = STEMS.map(|stem| format!("{stem}.safetensors")).into_iter().find(is_there) {
        return Ok(single(folder.join(name)));
    }
    if let Some(name) = STEMS.map(|stem| format!("{stem}.safetensors.index.json")).into_iter().find(is_there) {
        return sharded(folder, folder.join(name), files);
    }
    let variants: Vec<_> = found.iter().filter(|name| is_variant(name)).collect();
    match variants[..] {
        [name] if name.ends_with(".json") => sharded(folder, folder.join(name), files),
        [name] => Ok(single(folder.join(name))),
        [] => Err(Error::file(folder, nothing_found(&found))),
        [first, second, ..] => {
            let why = format!(
                "holds several variants ({first}, {second}); keep one, or rename it to {}.safetensors",
                STEMS[0]
            );
            Err(Error::file(folder, why))
        }
    }
}

/// A component that is one file.
pub(super) fn single(path: PathBuf) -> Located {
    Located { index: None, files: vec![(path, Vec::new())] }
}

/// Whether a name is `<stem>.<variant>.safetensors` or `<stem>.safetensors.index.<variant>.json`.
fn is_variant(name: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    STEMS.iter().any(|stem| {
        let Some(rest) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')) else { return false };
        let index = rest.strip_prefix("safetensors.index.").and_then(|rest| rest.strip_suffix(".json"));
        rest.strip_suffix(".safetensors").is_some_and(word) || index.is_some_and(word)
    })
}

/// What to say of a folder without safetensors.
fn nothing_found(found: &[String]) -> String {
    let ending = |name: &str| name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let has = |endings: &[&str]| found.iter().find(|name| ending(name).is_some_and(|e| endings.contains(&e.as_str())));
    if let Some(pickle) = has(&PICKLES) {
        return format!(
            "holds {} but no safetensors file; pickle files can run code when they are read and are refused: load the \
             model in Python and save it with save_pretrained(…, safe_serialization=True)",
            shown(pickle)
        );
    }
    if let Some(gguf) = has(&["gguf"]) {
        return format!("holds {} but no safetensors file; gguf is not read", shown(gguf));
    }
    format!(
        "holds no {0}.safetensors, {0}.safetensors.index.json or model.safetensors; found {1}",
        STEMS[0],
        some(found)
    )
}

/// A few names for a message.
pub(super) fn some(names: &[String]) -> String {
    const FEW: usize = 6;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let first = names.iter().take(FEW).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    if names.len() > FEW { format!("{first}, … ({} in all)", names.len()) } else { first }
}

/// A component of shards, from its index.
fn sharded(folder: &Path, index: PathBuf, files: &Files) -> Result<Located> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: Pairs,
    }
    let Index { weight_map: Pairs(mut map) } = json::index(&files.read(&index, json::MAX_INDEX)?, &index)?;
    map.sort_unstable();
    if let Some(pair) = map.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::tensor(&index, &shown(&pair[0].0), "is in weight_map twice"));
    }
    if map.is_empty() {
        return Err(Error::file(&index, "its weight_map is empty"));
    }
    let mut shards: HashMap<String, Vec<String>> = HashMap::new();
    for (tensor, file) in map {
        if !shards.contains_key(&file) {
            check_shard_name(&file)
                .map_err(|why| Error::tensor(&index, &shown(&tensor), format!("its file {} {why}", shown(&file))))?;
        }
        shards.entry(file).or_default().push(tensor);
    }
    let mut shards: Vec<_> = shards.into_iter().map(|(file, tensors)| (folder.join(file), tensors)).collect();
    shards.sort_unstable();
    if let Some((missing, tensors)) = shards.iter().find(|(path, _)| !files.is_there(path)) {
        let why = format!("is missing; {} says that it holds {} tensors, fetch it", index.display(), tensors.len());
        return Err(Error::file(missing, why));
    }
    Ok(Located { index: Some(index), files: shards })
}

/// Checks that an index's entry stays in its folder, by its letters alone: on every system the same names pass. What
/// it names may be a link, as in a hub's cache.
fn check_shard_name(name: &str) -> std::result::Result<(), &'static str> {
    if name.contains(['\\', ':']) || name.chars().any(char::is_control) {
        return Err("has a backslash, a colon or a control character in its name");
    }
    if name.starts_with('/') {
        return Err("is an absolute path");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("leads out of the folder or has an empty part");
    }
    match name.rsplit_once('.') {
        Some((_, "safetensors")) => Ok(()),
        Some((_, ending)) if PICKLES.contains(&ending) => {
            Err("is a pickle, which can run code when it is read; save the model as safetensors")
        }
        _ => Err("is not a .safetensors file"),
    }
}
