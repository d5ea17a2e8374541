//! A file of tensors: mapped into memory, read piece by piece, or in memory already.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};

use super::bytes::Bytes;
use crate::error::{Error, Result};

/// How the bytes of a checkpoint come into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// The file is mapped and its pages are read when a kernel touches them: nothing is copied, and memory pressure can
    /// drop what is not in use.
    #[default]
    Map,
    /// A tensor is read into memory when it is asked for: slower and heavier, but nothing that happens to the file
    /// afterwards can reach it.
    Read,
}

/// Size and time of a file: what tells that somebody wrote to it. Bytes in memory have no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(crate) fn len(self) -> u64 {
        self.len
    }

    /// When the file was written to last, in nanoseconds from 1970, as far as the system says.
    pub(crate) fn nanoseconds(self) -> Option<i128> {
        self.modified.map(|time| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        })
    }

    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { len: metadata.len(), modified: metadata.modified().ok() })
    }
}

/// One open file of tensors.
pub(crate) struct DataFile {
    path: PathBuf,
    stamp: Stamp,
    content: Content,
}

enum Content {
    File(Mutex<File>),
    Map(Mutex<File>, Arc<Mmap>),
    Memory(Bytes),
}

impl DataFile {
    /// Opens a regular file; with [`Mapping::Map`] maps all of it.
    pub(crate) fn open(path: &Path, mapping: Mapping) -> Result<Self> {
        let file = open_regular(path)?;
        let stamp = Stamp::of(&file).map_err(Error::io("examine", path))?;
        check_not_empty(path, stamp)?;
        let content = match mapping {
            Mapping::Map => {
                let map = map_all(&file, stamp.len).map_err(Error::io("map", path))?;
                Content::Map(Mutex::new(file), Arc::new(map))
            }
            Mapping::Read => Content::File(Mutex::new(file)),
        };
        let opened = Self { path: path.to_owned(), stamp, content };
        opened.check_unchanged()?;
        Ok(opened)
    }

    /// Bytes that stand for a file; `path` is what messages name.
    pub(crate) fn in_memory(path: &Path, bytes: Bytes) -> Result<Self> {
        let stamp = Stamp { len: bytes.len() as u64, modified: None };
        check_not_empty(path, stamp)?;
        Ok(Self { path: path.to_owned(), stamp, content: Content::Memory(bytes) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length in bytes when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.stamp.len
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// A copy of the bytes in `range`. The caller has checked that it ends before [`Self::len`], so that what is
    /// allocated here is never more than the file holds.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let (start, end) = (range.start, range.end.min(self.stamp.len));
        let too_large = || io::Error::new(io::ErrorKind::OutOfMemory, format!("{} bytes", end.saturating_sub(start)));
        let len = usize::try_from(end.saturating_sub(start)).map_err(|_| Error::io("read", &self.path)(too_large()))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Error::io("read", &self.path)(too_large()))?;
        let file = match &self.content {
            Content::File(file) | Content::Map(file, _) => file,
            Content::Memory(all) => {
                bytes.extend_from_slice(&all.as_slice()[start as usize..][..len]);
                return Ok(bytes);
            }
        };
        bytes.resize(len, 0);
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes)).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => self.changed("became shorter"),
            _ => Error::io("read", &self.path)(e),
        })?;
        Ok(bytes)
    }

    /// The bytes in `range`, which ends before [`Self::len`]; copied only if they are neither mapped nor in memory.
    pub(crate) fn bytes(&self, range: Range<usize>) -> Result<Bytes> {
        match &self.content {
            Content::Map(_, map) => Ok(Bytes::mapped(map, range)),
            Content::Memory(bytes) => Ok(bytes.narrow(range)),
            Content::File(_) => {
                let bytes = self.read(range.start as u64..range.end as u64)?;
                self.check_unchanged()?;
                Ok(bytes.into())
            }
        }
    }

    /// Whether the file can change what [`Self::bytes`] gave.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.content, Content::Map(..))
    }

    /// Whether [`Self::bytes`] copies.
    pub(crate) fn copies(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// Checks that the open file's size and time are what they were when it was opened.
    ///
    /// The file that is examined is the one that was mapped: replacing it under its name (write elsewhere, then
    /// rename) leaves the mapped bytes alone and is no error.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        let (Content::File(file) | Content::Map(file, _)) = &self.content else { return Ok(()) };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamp::of(&file).map_err(Error::io("examine", &self.path))?;
        if now.len != self.stamp.len {
            return Err(self.changed(&format!("had {} bytes when it was opened and has {}", self.stamp.len, now.len)));
        }
        if now.modified != self.stamp.modified {
            return Err(self.changed("was written to after it was opened"));
        }
        Ok(())
    }

    fn changed(&self, how: &str) -> Error {
        Error::file(&self.path, format!("{how}; leave a checkpoint alone while it is in use, or pass --no-mmap"))
    }
}

/// An empty file holds no tensors, whatever it is.
fn check_not_empty(path: &Path, stamp: Stamp) -> Result<()> {
    match stamp.len {
        0 => Err(Error::file(path, "is empty; its download or copy did not finish, fetch it again")),
        _ => Ok(()),
    }
}

/// Why a path leads nowhere, if a link on it is broken: which link, and its target. A hub's cache has such links when a
/// download was stopped.
pub(crate) fn dangling(path: &Path) -> Option<String> {
    let links = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let missing = |path: &Path| matches!(fs::metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound);
    let link = path.ancestors().find(|path| links(path) && missing(path))?;
    let what = if link == path { "is".to_owned() } else { format!("is not there, for {} is", link.display()) };
    let target = fs::read_link(link).map_or_else(|_| "a file".to_owned(), |target| target.display().to_string());
    Some(format!("{what} a link to {target}, which is not there; the download is not complete: fetch the model again"))
}

/// The error of a path that could not be opened or listed.
pub(crate) fn unopened(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |e| match dangling(path) {
        Some(why) if e.kind() == io::ErrorKind::NotFound => Error::file(path, why),
        _ => Error::io(op, path)(e),
    }
}

/// Opens a file for reading. Folders are refused, and so are pipes and devices, whose opening could wait forever.
pub(crate) fn open_regular(path: &Path) -> Result<File> {
    let metadata = fs::metadata(path).map_err(unopened("open", path))?;
    if metadata.is_dir() {
        return Err(Error::file(path, "is a folder where a file is expected"));
    }
    if !metadata.is_file() {
        return Err(Error::file(path, "is not a regular file"));
    }
    File::open(path).map_err(Error::io("open", path))
}

/// All bytes of a regular file that may have at most `limit` of them.
pub(crate) fn read_regular(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open_regular(path)?.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    check_length(path, read as u64, limit)?;
    Ok(bytes)
}

/// Refuses a file that is longer than its kind may be.
pub(crate) fn check_length(path: &Path, len: u64, limit: u64) -> Result<()> {
    if len > limit {
        return Err(Error::file(path, format!("is longer than the {limit} bytes that such a file may have")));
    }
    Ok(())
}

/// Maps the first `len` bytes of a file.
#[allow(unsafe_code, reason = "a file can only be mapped by an unsafe call; see below for what upholds it")]
fn map_all(file: &File, len: u64) -> io::Result<Mmap> {
    let len = usize::try_from(len).map_err(|_| io::Error::new(io::ErrorKind::OutOfMemory, "larger than memory"))?;
    // SAFETY: the map is private to this module and to `Bytes`, read-only, and `len` is the length that the file had a moment ago, which
    // `DataFile::open` examines once more after mapping; every range that is taken from it has been checked against
    // that length. Tensors are only ever read as plain numbers, for which all bit patterns are valid. Size and time of
    // the file are compared before each block of a model (`check_unchanged`). What cannot be caught: another process
    // that writes to the file, or cuts it short, between such a check and the access. Then the numbers are wrong, or the
    // system ends this process with SIGBUS. `Mapping::Read` is for files that are not safe from that.
    unsafe { MmapOptions::new().len(len).map(file) }
}
