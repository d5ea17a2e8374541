//! A file that is not there until it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
#[cfg(feature = "mp4")]
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A target for bytes: a file that gets its name when it is complete, or a stream.
pub struct Output {
    writer: BufWriter<Target>,
    /// What messages call it.
    name: PathBuf,
    partial: Option<Partial>,
}

enum Target {
    File(File),
    Stream(Box<dyn Write + Send>),
}

impl Output {
    /// A new file at `path`, written beside it under a hidden name until [`Self::finish`]. Pipes and devices are written
    /// to at once.
    ///
    /// # Errors
    /// [`Error::Request`] if `path` is a folder, or a file and not `force`; [`Error::Io`].
    pub fn file(path: &Path, force: bool) -> Result<Self> {
        let exists = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(refusal(path, "is a folder; name a file")),
            Ok(meta) if meta.is_file() => true,
            Ok(_) => {
                let device = OpenOptions::new().write(true).open(path).map_err(cannot("open", path))?;
                return Ok(Self::new(Target::File(device), path, None));
            }
            // Found now, not by the rename after all the work.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => return Err(cannot_create(path, error)),
            Err(_) => is_there(path),
        };
        if exists && !force {
            return Err(refusal(path, "exists already; choose another name, or replace it with --force"));
        }
        // A link to a file stays a link: what it points to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (partial, file) = Partial::create(target, force)?;
        Ok(Self::new(Target::File(file), path, Some(partial)))
    }

    /// A stream; `name` is for messages.
    pub fn stream(writer: Box<dyn Write + Send>, name: &str) -> Self {
        Self::new(Target::Stream(writer), Path::new(name), None)
    }

    fn new(target: Target, name: &Path, partial: Option<Partial>) -> Self {
        Self { writer: BufWriter::with_capacity(1 << 16, target), name: name.to_owned(), partial }
    }

    /// Appends these bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(cannot("write", &self.name))
    }

    /// Whether bytes that are written can still be changed: not in a pipe or a stream.
    #[cfg(feature = "mp4")]
    pub fn can_rewrite(&mut self) -> bool {
        self.writer.stream_position().is_ok()
    }

    /// Writes these bytes over those at `offset`; what comes next still goes to the end.
    #[cfg(feature = "mp4")]
    pub fn rewrite(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut rewrite = || {
            self.writer.seek(SeekFrom::Start(offset))?;
            self.writer.write_all(bytes)?;
            self.writer.seek(SeekFrom::End(0)).map(drop)
        };
        rewrite().map_err(cannot("write", &self.name))
    }

    /// The error of an encoder that failed on its own.
    #[cfg(any(feature = "gif", feature = "mp4", feature = "png"))]
    pub fn cannot_encode(&self, why: impl ToString) -> Error {
        Error::io("encode", &self.name)(io::Error::other(why.to_string()))
    }

    /// Writes out what is buffered and gives the file its name.
    pub fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(cannot("write", &self.name))?;
        let Some(partial) = self.partial.take() else { return Ok(()) };
        if let Target::File(file) = self.writer.get_ref() {
            file.sync_all().map_err(cannot("write", &self.name))?;
        }
        // Some systems do not rename a file that is open.
        drop(self.writer);
        partial.rename()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

#[cfg(feature = "mp4")]
impl Seek for Target {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(position),
            Self::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

/// The hidden name under which a file is written; the file is removed on drop if it still has it.
struct Partial {
    path: PathBuf,
    target: PathBuf,
    force: bool,
}

impl Partial {
    fn create(target: PathBuf, force: bool) -> Result<(Self, File)> {
        let Some(name) = target.file_name() else { return Err(refusal(&target, "is not the name of a file")) };
        let prefix = hidden_prefix(name);
        sweep(&target.with_file_name(&prefix), |path| path, |path| fs::remove_file(path));
        for attempt in 0.. {
            let mut hidden = prefix.clone();
            hidden.push(format!("{}-{attempt}", std::process::id()));
            let path = target.with_file_name(hidden);
            match File::create_new(&path) {
                Ok(file) if hold(&file, &path) => return Ok((Self { path, target, force }, file)),
                // Swept by another run between its making and its lock.
                Ok(_) => {}
                // Another output of this process.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {}
                Err(e) => return Err(cannot_create(&target, e)),
            }
        }
        unreachable!("the hundredth attempt returns")
    }

    /// Gives the file its name; if that fails the work is done nonetheless, and stays where it is.
    fn rename(self) -> Result<()> {
        // Whatever took the name since the start is not ours to replace either.
        let renamed = if !self.force && is_there(&self.target) {
            let why = format!("has come into being meanwhile; what was written is {}", self.path.display());
            Err(refusal(&self.target, &why))
        } else {
            fs::rename(&self.path, &self.target).map_err(cannot("rename the finished file", &self.path))
        };
        if renamed.is_err() {
            std::mem::forget(self);
        }
        renamed
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename there is nothing under this name, and nobody to tell of other failures.
        let _ = fs::remove_file(&self.path);
    }
}

/// How many bytes the names of files have at most on common systems (NAME_MAX).
const MAX_NAME: usize = 255;
/// The most bytes that follow the prefix of a hidden name: a process's number and an attempt's, of three digits at most.
const MAX_NUMBERS: usize = "4294967295-100".len();

/// What hidden names of this file begin with: the name itself, or as much of it as leaves them within the system's limit
/// with a hash of the whole, so that two long names do not meet.
fn hidden_prefix(name: &std::ffi::OsStr) -> std::ffi::OsString {
    let mut prefix = std::ffi::OsString::from(".");
    if 1 + name.len() + PARTIAL.len() + MAX_NUMBERS <= MAX_NAME {
        prefix.push(name);
    } else {
        const HASHED: usize = 8;
        let bytes = name.as_encoded_bytes();
        let hash = hmac_sha256::Hash::hash(bytes);
        let kept = MAX_NAME - 2 - 2 * HASHED - PARTIAL.len() - MAX_NUMBERS;
        // Whole characters of what can be shown; the hash tells names apart that differ elsewhere.
        let text = String::from_utf8_lossy(bytes);
        let end = (0..=kept).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        prefix.push(&text[..end]);
        prefix.push("~");
        prefix.push(hash[..HASHED].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    prefix.push(PARTIAL);
    prefix
}

/// What stands between a target's name and a process's number in a hidden name.
pub(crate) const PARTIAL: &str = ".partial-";

/// Locks a hidden file for as long as it is open, which tells [`sweep`] that its process lives; false if it has been swept
/// already. Where the file system has no locks, nothing is swept either.
pub(crate) fn hold(file: &File, path: &Path) -> bool {
    let _ = file.lock();
    is_there(path)
}

/// Removes what runs that were killed have left: everything whose path begins with `prefix` and whose `lock` file nobody
/// holds. Failures are passed over: what stays is hidden and in nobody's way.
pub(crate) fn sweep(prefix: &Path, lock: impl Fn(PathBuf) -> PathBuf, remove: impl Fn(&Path) -> io::Result<()>) {
    let folder = prefix.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let start = prefix.file_name().unwrap_or_default().as_encoded_bytes();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(start) {
            let held = File::open(lock(entry.path()));
            if held.is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = remove(&entry.path());
            }
        }
    }
}

/// Whether anything has this name, a link that leads nowhere included.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// An [`Error::Request`] about the output path.
pub(crate) fn refusal(path: &Path, why: &str) -> Error {
    Error::Request { what: "output", why: format!("{} {why}", path.display()) }
}

/// The error of making `path`, which says so when the folder around it is what is missing.
pub(crate) fn cannot_create(path: &Path, error: io::Error) -> Error {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let missing = folder.filter(|folder| error.kind() == io::ErrorKind::NotFound && !folder.exists());
    let error = missing.map_or(error, |folder| {
        let why = format!("the folder {} does not exist, make it first", folder.display());
        io::Error::new(io::ErrorKind::NotFound, why)
    });
    cannot("create", path)(error)
}

/// An [`Error::Io`] about an output, with the remedy where there is one; for use with `map_err`.
pub(crate) fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let made = Error::io(doing, path);
    move |error| {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some, or write to another disk",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "choose a folder that can be written to"
            }
            io::ErrorKind::FileTooLarge => {
                "raise the limit on the size of files (ulimit -f), or ask for fewer or smaller frames"
            }
            io::ErrorKind::InvalidFilename => "choose a shorter name; most systems take 255 bytes",
            _ => return made(error),
        };
        made(io::Error::new(error.kind(), format!("{error}; {remedy}")))
    }
}
