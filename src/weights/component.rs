//! One model's tensors: a safetensors file, or shards and their index.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::data::DataFile;
use super::file::files::Files;
use super::format::header::{Declared, Entry, unread};
use super::format::read;
use super::text::shown;
use super::weight::{MEMORY, Weight};
use crate::error::{Error, Result};
use crate::tensor::shape::{MAX_RANK, Shape};

/// The open files of one model and where each tensor is.
pub(super) struct Component {
    /// The file or the index, which messages about missing tensors name.
    main: PathBuf,
    files: Vec<(Arc<DataFile>, Arc<Path>)>,
    tensors: HashMap<String, Place>,
}

/// Where a tensor is.
enum Place {
    /// In the file of this number.
    File(usize, Entry),
    /// In memory, made by the caller.
    Memory(Weight),
}

/// Where a component's tensors are: found by name, not opened yet.
#[derive(Debug)]
pub(super) struct Located {
    /// The index, if there is one.
    pub(super) index: Option<PathBuf>,
    /// The files in the order of their names, each with the tensors that the index lists for it.
    pub(super) files: Vec<(PathBuf, Vec<String>)>,
}

impl Located {
    /// One file.
    pub(super) fn single(path: PathBuf) -> Self {
        Self { index: None, files: vec![(path, Vec::new())] }
    }
}

impl Component {
    /// Opens all files and reads their headers.
    pub(super) fn open(located: Located, files: &Files) -> Result<Self> {
        let main = located.index.or_else(|| located.files.first().map(|(path, _)| path.clone())).unwrap_or_default();
        let mut opened = Self { main, files: Vec::new(), tensors: HashMap::new() };
        for (path, listed) in located.files {
            let file = files.open(&path)?;
            let number = opened.files.len();
            for (name, entry) in read::header(&file)?.tensors {
                if let Some(Place::File(other, _)) = opened.tensors.get(&name) {
                    let why = format!("is in {} too", opened.files[*other].1.display());
                    return Err(Error::tensor(&path, &shown(&name), why));
                }
                opened.tensors.insert(name, Place::File(number, entry));
            }
            let here = |name: &&String| matches!(opened.tensors.get(*name), Some(Place::File(at, _)) if *at == number);
            if let Some(name) = listed.iter().find(|name| !here(name)) {
                let why = format!(
                    "is not in {}, where the index lists it; fetch the index and the shards again",
                    path.display()
                );
                return Err(Error::tensor(&opened.main, &shown(name), why));
            }
            opened.files.push((Arc::new(file), path.into()));
        }
        Ok(opened)
    }

    /// Tensors that are in memory already.
    pub(super) fn from_weights(weights: impl IntoIterator<Item = Weight>) -> Self {
        let tensors = weights.into_iter().map(|w| (w.name().to_owned(), Place::Memory(w))).collect();
        Self { main: MEMORY.into(), files: Vec::new(), tensors }
    }

    pub(super) fn main(&self) -> &Path {
        &self.main
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// File, axis lengths and storage type of a tensor.
    pub(super) fn describe(&self, name: &str) -> Option<(&Path, &[usize], Declared)> {
        self.tensors.get(name).map(|place| match place {
            Place::File(file, entry) => (&*self.files[*file].1, &*entry.dims, entry.storage.clone()),
            Place::Memory(weight) => (weight.file(), weight.dims(), Declared::Known(weight.storage())),
        })
    }

    /// A tensor, by the name under which it is stored; without its bytes unless `read`.
    pub(super) fn load(&self, name: &str, read: bool) -> Result<Weight> {
        let (file, entry) = match self.tensors.get(name) {
            Some(Place::File(file, entry)) => (&self.files[*file], entry),
            Some(Place::Memory(weight)) => return Ok(weight.clone()),
            None => return Err(Error::tensor(&self.main, name, "is missing")),
        };
        let (data, path) = file;
        let storage = match &entry.storage {
            Declared::Known(storage) => *storage,
            Declared::Unread(other) => return Err(Error::tensor(path, &shown(name), unread(other))),
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

    /// Checks that the mapped files are still what was mapped; nothing can change what has been read into memory.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.files.iter().filter(|(file, _)| file.is_mapped()).try_for_each(|(file, _)| file.check_unchanged())
    }
}
