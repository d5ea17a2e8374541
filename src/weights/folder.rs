//! A checkpoint in the diffusers layout: a folder, or files in memory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::bytes::Bytes;
use super::component::{self, Component};
use super::files::Files;
use super::hash::{self, Part};
use super::index::{COMPONENTS, check_index, not_diffusers};
use super::mapped::Mapping;
use super::names::{NameTable, Warning};
use super::{Weights, json};
use crate::error::{Error, Result};

/// A checkpoint: `model_index.json` and a folder for each component, on disk or in memory. Cheap to clone.
///
/// Opening reads `model_index.json` alone; a component's files are opened when it is asked for.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Files,
    index: Arc<Map<String, Value>>,
    hashed: Arc<Mutex<Option<Hashed>>>,
}

/// A full hash and the files, with sizes and times, that it is of.
#[derive(Debug)]
struct Hashed {
    parts: Vec<Part>,
    hash: String,
}

impl Checkpoint {
    /// Opens a folder and checks that its pipeline and components are of the classes that this engine has.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the folder is not in the diffusers layout, [`Error::Config`] naming the key of
    /// `model_index.json` that is not supported.
    pub fn open(folder: &Path, mapping: Mapping) -> Result<Self> {
        let metadata = std::fs::metadata(folder).map_err(Error::io("open", folder))?;
        if !metadata.is_dir() {
            let why = "is a file; a checkpoint is a folder in the diffusers layout, with model_index.json in it";
            return Err(Error::file(folder, why));
        }
        Self::new(folder.to_owned(), Files::Disk(mapping))
    }

    /// A checkpoint whose files are in memory, under the paths that they have in a folder: `model_index.json`,
    /// `transformer/config.json` and so on. `name` stands for the folder in messages; of two files with one path the later
    /// stays. Nothing is copied but small vectors.
    ///
    /// ```
    /// use zoetrope::weights::Checkpoint;
    ///
    /// # static INDEX: &[u8] = br#"{"_class_name": "WanPipeline"}"#; // include_bytes!("tiny/model_index.json")
    /// let refused = Checkpoint::from_memory("tiny", [("model_index.json", INDEX)]).unwrap_err();
    /// assert!(refused.to_string().contains("tiny/model_index.json, scheduler: is missing"));
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_memory<P: AsRef<Path>, B: Into<Bytes>>(
        name: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (P, B)>,
    ) -> Result<Self> {
        let folder = name.into();
        let files = files.into_iter().map(|(path, bytes)| (folder.join(path), bytes.into())).collect();
        Self::new(folder, Files::Memory(Arc::new(files)))
    }

    fn new(folder: PathBuf, files: Files) -> Result<Self> {
        let path = folder.join("model_index.json");
        if !files.is_there(&path) {
            return Err(Error::file(&folder, not_diffusers(&files.list(&folder)?)));
        }
        let index = json::object(&files.read(&path, json::MAX_CONFIG)?, &path)?;
        check_index(&path, &index)?;
        Ok(Self { folder, files, index: Arc::new(index), hashed: Arc::default() })
    }

    /// The folder that was opened, or the name in its place.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The class that `model_index.json` names for a component: the scheduler's decides the step grid.
    pub fn class(&self, component: &str) -> Option<&str> {
        self.index.get(component)?.get(1)?.as_str()
    }

    /// Opens a component's tensors and holds them against its name table.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read; [`Error::Checkpoint`] naming file and tensor when one is damaged,
    /// missing, misshapen or not of this configuration.
    pub fn component(&self, name: &str, table: &NameTable) -> Result<(Weights, Vec<Warning>)> {
        let located = component::locate(&self.component_folder(name)?, &self.files)?;
        Weights::new(Component::open(located, &self.files)?).checked(table)
    }

    /// The configuration file of a component.
    pub fn config_path(&self, component: &str) -> PathBuf {
        let file = COMPONENTS.iter().find(|(name, ..)| *name == component).map_or("config.json", |(.., file)| file);
        self.folder.join(component).join(file)
    }

    /// A component's configuration; its type has defaults for all keys.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is not there, [`Error::Checkpoint`] when it is not JSON, [`Error::Config`] naming
    /// the key whose value is not of its type.
    pub fn config<T: DeserializeOwned>(&self, component: &str) -> Result<T> {
        let path = self.config_path(component);
        json::config(self.object(&path)?, &path)
    }

    /// The object in a configuration file.
    pub(crate) fn object(&self, path: &Path) -> Result<Map<String, Value>> {
        json::object(&self.read(path, json::MAX_CONFIG)?, path)
    }

    /// All bytes of a file that may have at most `limit` of them.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Cow<'_, [u8]>> {
        self.files.read(path, limit)
    }

    /// Checks that the configuration of every component is there.
    pub(crate) fn check_complete(&self) -> Result<()> {
        for component in ["scheduler", "text_encoder", "transformer", "vae"] {
            let file = self.config_path(component);
            if !self.files.is_there(&file) {
                return Err(Error::file(&file, "is missing; the checkpoint is not complete, fetch it again"));
            }
        }
        Ok(())
    }

    /// The object of a JSON file beside `model_index.json`, and the file's path; `None` if there is no such file.
    pub(crate) fn optional_object(&self, name: &str) -> Result<Option<(PathBuf, Map<String, Value>)>> {
        let file = self.folder.join(name);
        if !self.files.is_there(&file) {
            return Ok(None);
        }
        self.object(&file).map(|object| Some((file, object)))
    }

    /// The file that describes the tokenizer.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the folder has none.
    pub fn tokenizer_path(&self) -> Result<PathBuf> {
        let file = self.folder.join("tokenizer").join("tokenizer.json");
        if self.files.is_file(&file) {
            return Ok(file);
        }
        let why = "is missing; save the tokenizer as T5TokenizerFast, which writes it, or fetch the checkpoint again";
        Err(Error::Tokenizer { file, why: why.to_owned() })
    }

    /// A hash of what the checkpoint's models are, quickly: the small files, and of each safetensors file size, header and
    /// 4 KiB from the middle of every tensor (all of a smaller one); a few megabytes of Wan's fifteen gigabytes.
    ///
    /// It tells checkpoints apart, those that were trained further too; not a bit that has flipped. `zoetrope.json` does not
    /// count: a request spells out what is taken from it. SHA-256 in hex.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Checkpoint`] when a file cannot be read or its header is damaged.
    pub fn fingerprint(&self) -> Result<String> {
        hash::quick(&self.files, &self.parts()?, false)
    }

    /// A hash of one component with weights (`text_encoder`, `transformer`, `vae`), quickly: for caches of what it
    /// computes.
    ///
    /// It covers what [`fingerprint`](Self::fingerprint) covers and the time of the last change of each safetensors file. So
    /// it changes whenever weights are written to; also when a file is copied without its time. Of a checkpoint in memory it covers every byte. SHA-256 in hex.
    ///
    /// # Errors
    /// As [`fingerprint`](Self::fingerprint).
    pub fn component_fingerprint(&self, component: &str) -> Result<String> {
        let mut parts = Vec::new();
        self.component_parts(component, &mut parts)?;
        hash::quick(&self.files, &parts, true)
    }

    /// A hash of every byte that the engine reads of the checkpoint's models, which takes as long as reading it. Kept as long as
    /// sizes and times of the files stay the same. SHA-256 in hex.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Checkpoint`] when one is not there.
    pub fn full_hash(&self) -> Result<String> {
        let parts = self.parts()?;
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hashed.as_ref().filter(|known| known.parts == parts) {
            return Ok(known.hash.clone());
        }
        let hash = hash::full(&self.files, &parts)?;
        Ok(hashed.insert(Hashed { parts, hash }).hash.clone())
    }

    /// All files that are read, in a fixed order.
    fn parts(&self) -> Result<Vec<Part>> {
        let mut parts = vec![Part::small(&self.files, &self.folder, "model_index.json".into())?];
        for (component, ..) in COMPONENTS {
            self.component_parts(component, &mut parts)?;
        }
        Ok(parts)
    }

    /// The files of one component.
    fn component_parts(&self, component: &str, parts: &mut Vec<Part>) -> Result<()> {
        let folder = self.component_folder(component)?;
        if component == "tokenizer" {
            // Without it ids can still be passed in.
            if self.files.is_file(&folder.join("tokenizer.json")) {
                parts.push(Part::small(&self.files, &self.folder, "tokenizer/tokenizer.json".into())?);
            }
            return Ok(());
        }
        let within =
            |path: &Path| format!("{component}/{}", path.strip_prefix(&folder).unwrap_or(path).to_string_lossy());
        parts.push(Part::small(&self.files, &self.folder, within(&self.config_path(component)))?);
        if component != "scheduler" {
            let located = component::locate(&folder, &self.files)?;
            if let Some(index) = &located.index {
                parts.push(Part::small(&self.files, &self.folder, within(index))?);
            }
            for (path, _) in &located.files {
                parts.push(Part::tensors(&self.files, &self.folder, within(path))?);
            }
        }
        Ok(())
    }

    fn component_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if self.files.is_folder(&folder) {
            return Ok(folder);
        }
        Err(Error::file(
            &folder,
            "is not there, or not a folder; model_index.json names it, fetch the checkpoint again",
        ))
    }
}
