//! What to say of a path that is no checkpoint: what it looks like, and which path to pass.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

use crate::error::{Error, Result};
use crate::weights::file::data::{dangling, unopened};
use crate::weights::file::files::Files;
use crate::weights::format::sniff::{self, Expected, SNIFFED};
use crate::weights::text::{shown, some};

const INDEX: &str = "model_index.json";
/// How the folders of models in a hub's cache begin.
const CACHED: &str = "models--";

/// Checks that there is a folder of this path.
///
/// # Errors
/// [`Error::Io`] or [`Error::Checkpoint`] with what it is and what to pass.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound && is_hub_name(path) && dangling(path).is_none() => {
            let name = path.display();
            let why = format!(
                "there is no such folder; if it is the name of a model on a hub, download that first (`hf download {name} \
                 --local-dir FOLDER`) and pass the folder"
            );
            return Err(Error::file(path, why));
        }
        Err(e) => return Err(unopened("open", path)(e)),
    };
    if metadata.is_dir() {
        return Ok(());
    }
    // A pipe or a device could be waited for without end.
    let mut start = Vec::new();
    if metadata.is_file() {
        let file = File::open(path).map_err(Error::io("open", path))?;
        file.take(SNIFFED as u64).read_to_end(&mut start).map_err(Error::io("read", path))?;
    }
    let what = sniff::mistaken(&start, Expected::Safetensors).map(|what| format!("; it {what}")).unwrap_or_default();
    let why = format!("is a file; a checkpoint is a folder in the diffusers layout, with {INDEX} in it{what}");
    Err(Error::file(path, why))
}

/// Whether a path could be meant as the name of a model on a hub: `ORGANISATION/MODEL`.
fn is_hub_name(path: &Path) -> bool {
    let word = |part: Component| match part {
        Component::Normal(part) => part
            .to_str()
            .is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))),
        _ => false,
    };
    path.components().count() == 2 && path.components().all(word)
}

/// What to say of a folder without `model_index.json`.
pub(super) fn no_index(folder: &Path, files: &Files) -> Result<String> {
    let found = files.list(folder)?;
    let has = |names: &[&str]| found.iter().any(|name| names.contains(&name.as_str()));
    let ends = |ending: &str| found.iter().any(|name| name.ends_with(ending));
    let advice = if let Some(within) = checkpoint_within(folder, &found, files) {
        within
    } else if has(&["transformer", "vae", "text_encoder"]) {
        "the components are there, but the index is not: fetch it".to_owned()
    } else if has(&["config.json"]) {
        "this looks like one component: give the folder above it".to_owned()
    } else if has(&["Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"]) || ends(".pth") {
        "this looks like Wan's own layout, with pickle files that are refused: fetch the repository whose name ends in \
         -Diffusers"
            .to_owned()
    } else if ends(".gguf") {
        "GGUF files are not read: fetch the repository whose name ends in -Diffusers".to_owned()
    } else {
        format!("expected {INDEX} and the folders scheduler, text_encoder, tokenizer, transformer, vae")
    };
    let found = some(found.iter().map(String::as_str));
    Ok(format!("is not a checkpoint in the diffusers layout, it has no {INDEX}; {advice}; found {found}"))
}

/// Which folder below this one to pass: a snapshot of a hub's cache, or a checkpoint one level down.
fn checkpoint_within(folder: &Path, found: &[String], files: &Files) -> Option<String> {
    let list = |path: &Path| files.list(path).unwrap_or_default();
    let is_checkpoint = |path: &Path| files.is_there(&path.join(INDEX));
    if found.iter().any(|name| name == "snapshots") {
        let snapshots = folder.join("snapshots");
        let mut names = list(&snapshots);
        // Of several the one that the model's branch is at now.
        let current = files.read(&folder.join("refs").join("main"), 100).unwrap_or_default();
        let current = String::from_utf8_lossy(&current).trim().to_owned();
        names.sort_by_key(|name| *name != current);
        return Some(match names.iter().find(|name| is_checkpoint(&snapshots.join(name))) {
            Some(name) => format!("this is a model in a hub's cache: pass {}", snapshots.join(name).display()),
            None if names.is_empty() => {
                "this is a model in a hub's cache without any snapshot: download it again with the hub's client"
                    .to_owned()
            }
            None => format!(
                "this is a model in a hub's cache, whose snapshots have no {INDEX}: download a repository whose name ends \
                 in -Diffusers, all of it"
            ),
        });
    }
    let models: Vec<_> = found.iter().filter(|name| name.starts_with(CACHED)).collect();
    if let Some(first) = models.first() {
        let example = folder.join(first).join("snapshots").join("REVISION");
        let names = some(models.iter().map(|name| name.as_str()));
        return Some(format!("this is a hub's cache of {names}: pass the snapshot of one, as {}", example.display()));
    }
    // The folder `hub` in the cache's own.
    let hub = found.iter().find(|name| list(&folder.join(name)).iter().any(|name| name.starts_with(CACHED)));
    if let Some(hub) = hub {
        return Some(format!("{} is a hub's cache: pass the snapshot of a model in it", folder.join(hub).display()));
    }
    let below = found.iter().find(|name| is_checkpoint(&folder.join(name)))?;
    Some(format!("{} has one: pass that", shown(&folder.join(below).display().to_string())))
}
