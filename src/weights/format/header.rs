//! The description of a file's tensors, the same for every format.

use std::fmt;
use std::ops::Range;

use crate::weights::storage::Storage;

/// A file's tensors.
pub(crate) struct Header {
    /// The bytes that describe them, from the start of the file.
    pub(crate) bytes: Vec<u8>,
    /// Name and description of each, in the order of their bytes.
    pub(crate) tensors: Vec<(String, Entry)>,
}

/// One tensor of a file.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) storage: Declared,
    /// The axis lengths, slowest first; any number of axes.
    pub(crate) dims: Vec<usize>,
    /// The tensor's bytes, counted from the start of the file.
    pub(crate) range: Range<usize>,
}

/// The storage type that a file declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// One that is read.
    Known(Storage),
    /// One that the format has, by this name, and this engine does not read.
    Unread(Box<str>),
}

impl fmt::Display for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(storage) => fmt::Display::fmt(storage, f),
            Self::Unread(name) => f.write_str(name),
        }
    }
}

/// Why a tensor that is needed is refused if its storage type is not read.
pub(crate) fn unread(name: &str) -> String {
    format!("is stored as {name}; {} are read, save the model in one of them", Storage::list())
}
