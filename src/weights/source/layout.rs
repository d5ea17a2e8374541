//! Which files of a component's folder hold its tensors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::weights::component::Located;
use crate::weights::file::files::Files;
use crate::weights::json::{self, Pairs};
use crate::weights::text::{shown, some};

/// The names that diffusers and transformers give to a model's file.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Endings of files in Python's pickle format.
const PICKLES: [&str; 6] = ["bin", "pth", "ckpt", "pt", "pkl", "pickle"];

/// Finds the files of a component in its folder.
///
/// A file that holds everything comes before an index, and both come before variants such as
/// `diffusion_pytorch_model.fp16.safetensors`, of which there may be one.
pub(crate) fn locate(folder: &Path, files: &Files) -> Result<Located> {
    let found = files.list(folder)?;
    let is_there = |name: &String| found.contains(name);
    if let Some(name) = STEMS.map(|stem| format!("{stem}.safetensors")).into_iter().find(is_there) {
        return Ok(Located::single(folder.join(name)));
    }
    if let Some(name) = STEMS.map(|stem| format!("{stem}.safetensors.index.json")).into_iter().find(is_there) {
        return sharded(folder, folder.join(name), files);
    }
    let variants: Vec<_> = found.iter().filter(|name| is_variant(name)).collect();
    match variants[..] {
        [name] if name.ends_with(".json") => sharded(folder, folder.join(name), files),
        [name] => Ok(Located::single(folder.join(name))),
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

/// Whether a name is `<stem>.<variant>.safetensors` or `<stem>.safetensors.index.<variant>.json`.
fn is_variant(name: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    STEMS.iter().any(|stem| {
        let Some(rest) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')) else { return false };
        let index = rest.strip_prefix("safetensors.index.").and_then(|rest| rest.strip_suffix(".json"));
        rest.strip_suffix(".safetensors").is_some_and(word) || index.is_some_and(word)
    })
}

/// Why a folder without safetensors files is refused.
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
        return format!(
            "holds {} but no safetensors file; GGUF is not read: take the model's safetensors files, in a repository for \
             diffusers",
            shown(gguf)
        );
    }
    format!(
        "holds no {0}.safetensors, {0}.safetensors.index.json or model.safetensors; found {1}",
        STEMS[0],
        some(found.iter().map(String::as_str))
    )
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

/// Checks that a file that an index names is in the index's folder. Only the name is looked at, by the same rules on
/// every system; the file may be a link, as in a hub's cache.
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
