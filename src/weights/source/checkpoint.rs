//! A checkpoint in the diffusers layout: a folder, or files in memory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fingerprint::{HashedFile, fingerprint};
use super::layout;
use super::model_index::{COMPONENTS, check_index};
use super::remedy;
use crate::error::{Error, Result};
use crate::weights::component::Component;
use crate::weights::file::bytes::Bytes;
use crate::weights::file::data::Mapping;
use crate::weights::file::files::Files;
use crate::weights::json;
use crate::weights::naming::table::NameTable;
use crate::weights::view::Weights;
use crate::weights::warning::Warning;

/// A checkpoint: `model_index.json` and a folder for each component, on disk or in memory. Cheap to clone.
///
/// Opening reads `model_index.json` only. A component's files are opened by [`component`](Self::component).
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Files,
    index: Arc<Map<String, Value>>,
    warnings: Vec<Warning>,
}

impl Checkpoint {
    /// Opens a folder and checks that its pipeline and components are of the classes that this engine has.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the folder is not in the diffusers layout, [`Error::Config`] naming the key of
    /// `model_index.json` that is not supported.
    pub fn open(folder: &Path, mapping: Mapping) -> Result<Self> {
        remedy::check_folder(folder)?;
        Self::new(folder.to_owned(), Files::Disk(mapping))
    }

    /// A checkpoint whose files are in memory, under the paths that they have in a folder: `model_index.json`,
    /// `transformer/config.json` and so on. Messages name `name` as the folder. Of two files with the same path
    /// the later one counts. Nothing is copied but small vectors.
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
            return Err(Error::file(&folder, remedy::no_index(&folder, &files)?));
        }
        let index = json::object(&files.read(&path, json::MAX_CONFIG)?, &path)?;
        let warnings = check_index(&path, &index)?;
        Ok(Self { folder, files, index: Arc::new(index), warnings })
    }

    /// The folder that was opened, or the name in its place.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is odd about its `model_index.json`.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The class that `model_index.json` names for a component: the scheduler's decides the step grid.
    pub fn class(&self, component: &str) -> Option<&str> {
        self.index.get(component)?.get(1)?.as_str()
    }

    /// Opens a component's tensors and checks them against its name table.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read; [`Error::Checkpoint`] naming file and tensor when one is damaged,
    /// missing, misshapen or not of this configuration.
    pub fn component(&self, name: &str, table: &NameTable) -> Result<(Weights, Vec<Warning>)> {
        let located = layout::locate(&self.component_folder(name)?, &self.files)?;
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
        let why = self.files.dangling(&file).unwrap_or_else(|| {
            "is missing; save the tokenizer as T5TokenizerFast, which writes it, or fetch the checkpoint again"
                .to_owned()
        });
        Err(Error::Tokenizer { file, why })
    }

    /// A hash that identifies the checkpoint's models and reads little: the small files, and of each safetensors file its
    /// size, its header and 4 KiB from the middle of every tensor (all of a smaller one). Of Wan's fifteen gigabytes those
    /// are a few megabytes.
    ///
    /// Two checkpoints have different hashes, also if one is the other trained further. A single flipped bit may be missed. `zoetrope.json` is
    /// left out: its defaults are part of each request. SHA-256 in hex.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Checkpoint`] when a file cannot be read or its header is damaged.
    pub fn fingerprint(&self) -> Result<String> {
        fingerprint(&self.files, &self.hashed_files()?, false)
    }

    /// A hash of one component with weights (`text_encoder`, `transformer`, `vae`), for caches of its results.
    ///
    /// It covers what [`fingerprint`](Self::fingerprint) covers and when each safetensors file was last changed. So it
    /// changes whenever weights are written, and when a file is copied without its time. Of a checkpoint in memory
    /// it covers every byte. SHA-256 in hex.
    ///
    /// # Errors
    /// As [`fingerprint`](Self::fingerprint).
    pub fn component_fingerprint(&self, component: &str) -> Result<String> {
        let mut hashed = Vec::new();
        self.files_of_component(component, &mut hashed)?;
        fingerprint(&self.files, &hashed, true)
    }

    /// All files that are read, in a fixed order.
    fn hashed_files(&self) -> Result<Vec<HashedFile>> {
        let mut hashed = vec![HashedFile::small(&self.files, &self.folder, "model_index.json".into())?];
        for (component, ..) in COMPONENTS {
            self.files_of_component(component, &mut hashed)?;
        }
        Ok(hashed)
    }

    /// The files of one component.
    fn files_of_component(&self, component: &str, hashed: &mut Vec<HashedFile>) -> Result<()> {
        let folder = self.component_folder(component)?;
        if component == "tokenizer" {
            // Without it ids can still be passed in.
            if self.files.is_file(&folder.join("tokenizer.json")) {
                hashed.push(HashedFile::small(&self.files, &self.folder, "tokenizer/tokenizer.json".into())?);
            }
            return Ok(());
        }
        let within =
            |path: &Path| format!("{component}/{}", path.strip_prefix(&folder).unwrap_or(path).to_string_lossy());
        hashed.push(HashedFile::small(&self.files, &self.folder, within(&self.config_path(component)))?);
        if component != "scheduler" {
            let located = layout::locate(&folder, &self.files)?;
            if let Some(index) = &located.index {
                hashed.push(HashedFile::small(&self.files, &self.folder, within(index))?);
            }
            for (path, _) in &located.files {
                hashed.push(HashedFile::tensors(&self.files, &self.folder, within(path))?);
            }
        }
        Ok(())
    }

    fn component_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if self.files.is_folder(&folder) {
            return Ok(folder);
        }
        let why = self.files.dangling(&folder).unwrap_or_else(|| {
            "is not there, or not a folder; model_index.json names it, fetch the checkpoint again".to_owned()
        });
        Err(Error::file(&folder, why))
    }
}
