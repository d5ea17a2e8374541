//! Bytes wherever they are.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes that are shared and do not change: part of the program, given by the caller, or of a mapped file.
///
/// Cheap to clone. Made from what `include_bytes!` gives, from a `Vec<u8>` or from an `Arc<[u8]>`, and never copied.
#[derive(Clone)]
pub struct Bytes {
    source: Source,
    range: Range<usize>,
}

#[derive(Clone)]
enum Source {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Owned(Arc<Vec<u8>>),
    Mapped(Arc<Mmap>),
}

impl Bytes {
    /// A range of a mapped file, which has been checked against its length.
    pub(super) fn mapped(map: &Arc<Mmap>, range: Range<usize>) -> Self {
        Self { source: Source::Mapped(Arc::clone(map)), range }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        let all: &[u8] = match &self.source {
            Source::Static(bytes) => bytes,
            Source::Shared(bytes) => bytes,
            Source::Owned(bytes) => bytes,
            Source::Mapped(map) => map,
        };
        &all[self.range.clone()]
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// The bytes of `range`, which lies within these.
    pub(crate) fn narrow(&self, range: Range<usize>) -> Self {
        let start = self.range.start;
        Self { source: self.source.clone(), range: start + range.start..start + range.end }
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self { range: 0..bytes.len(), source: Source::Static(bytes) }
    }
}

impl<const N: usize> From<&'static [u8; N]> for Bytes {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self { range: 0..bytes.len(), source: Source::Shared(bytes) }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { range: 0..bytes.len(), source: Source::Owned(Arc::new(bytes)) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.range.len())
    }
}
