//! Where a checkpoint's files are: on disk, or in memory under the same names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::bytes::Bytes;
use super::data::{DataFile, Mapping, check_length, dangling, read_regular, unopened};
use crate::error::{Error, Result};

/// A file system as far as a checkpoint needs one.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// The system's; files of tensors come into memory as this says.
    Disk(Mapping),
    /// These files, by their paths.
    Memory(Arc<BTreeMap<PathBuf, Bytes>>),
}

impl Files {
    /// Whether there is a folder of this path.
    pub(crate) fn is_folder(&self, path: &Path) -> bool {
        match self {
            Self::Disk(_) => path.is_dir(),
            Self::Memory(files) => files.keys().any(|file| file != path && file.starts_with(path)),
        }
    }

    /// Whether there is a file of this path.
    pub(crate) fn is_file(&self, path: &Path) -> bool {
        match self {
            Self::Disk(_) => path.is_file(),
            Self::Memory(files) => files.contains_key(path),
        }
    }

    /// Whether anything has this path, a link that leads nowhere included.
    pub(crate) fn is_there(&self, path: &Path) -> bool {
        match self {
            Self::Disk(_) => match fs::symlink_metadata(path) {
                Ok(_) => true,
                Err(e) => !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
            },
            Self::Memory(_) => self.is_file(path) || self.is_folder(path),
        }
    }

    /// Sorted names of what is in a folder; names that are not Unicode cannot be ours.
    pub(crate) fn list(&self, folder: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        match self {
            Self::Disk(_) => {
                for entry in fs::read_dir(folder).map_err(unopened("list", folder))? {
                    names.extend(entry.map_err(Error::io("list", folder))?.file_name().into_string());
                }
            }
            Self::Memory(files) => {
                let within = files.keys().filter_map(|file| file.strip_prefix(folder).ok()?.components().next());
                names.extend(within.filter_map(|name| name.as_os_str().to_str().map(str::to_owned)));
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Why a path leads nowhere, if a link on it is broken.
    pub(crate) fn dangling(&self, path: &Path) -> Option<String> {
        match self {
            Self::Disk(_) => dangling(path),
            Self::Memory(_) => None,
        }
    }

    /// All bytes of a file that may have at most `limit` of them.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Disk(_) => read_regular(path, limit).map(Cow::Owned),
            Self::Memory(_) => {
                let bytes = self.bytes(path)?.as_slice();
                check_length(path, bytes.len() as u64, limit)?;
                Ok(Cow::Borrowed(bytes))
            }
        }
    }

    /// Opens a file of tensors.
    pub(crate) fn open(&self, path: &Path) -> Result<DataFile> {
        match self {
            Self::Disk(mapping) => DataFile::open(path, *mapping),
            Self::Memory(_) => DataFile::in_memory(path, self.bytes(path)?.clone()),
        }
    }

    /// Opens a file to read it once.
    pub(crate) fn open_unmapped(&self, path: &Path) -> Result<DataFile> {
        match self {
            Self::Disk(_) => Self::Disk(Mapping::Read).open(path),
            Self::Memory(_) => self.open(path),
        }
    }

    fn bytes(&self, path: &Path) -> Result<&Bytes> {
        let found = match self {
            Self::Disk(_) => None,
            Self::Memory(files) => files.get(path),
        };
        found.ok_or_else(|| {
            if self.is_folder(path) {
                return Error::file(path, "is a folder where a file is expected");
            }
            let why = "it is not among the files in memory";
            Error::io("open", path)(io::Error::new(io::ErrorKind::NotFound, why))
        })
    }
}
