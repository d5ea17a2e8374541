//! Hashes that tell one checkpoint from another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hmac_sha256::Hash as Sha256;

use super::files::Files;
use super::header;
use super::mapped::{DataFile, Stamp};
use crate::error::Result;

/// One file that goes into a hash, under its name within the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    name: String,
    path: PathBuf,
    tensors: bool,
    stamp: Stamp,
}

impl Part {
    /// A file whose contents all count.
    pub(super) fn small(files: &Files, root: &Path, name: String) -> Result<Self> {
        Self::new(files, root, name, false)
    }

    /// A safetensors file.
    pub(super) fn tensors(files: &Files, root: &Path, name: String) -> Result<Self> {
        Self::new(files, root, name, true)
    }

    fn new(files: &Files, root: &Path, name: String, tensors: bool) -> Result<Self> {
        let path = root.join(&name);
        let stamp = files.open_unmapped(&path)?.stamp();
        Ok(Self { name, path, tensors, stamp })
    }

    /// Starts this file's share: name and size.
    fn start(&self, hash: &mut Sha256) {
        hash.update((self.name.len() as u64).to_le_bytes());
        hash.update(&self.name);
        hash.update(self.stamp.len().to_le_bytes());
    }
}

/// Adds every byte of a file.
fn all(file: &DataFile, hash: &mut Sha256) -> Result<()> {
    const PIECE: usize = 1 << 20;
    for start in (0..file.len()).step_by(PIECE) {
        hash.update(file.read(start..start + PIECE as u64)?);
    }
    Ok(())
}

/// How much of a tensor [`quick`] reads, from its middle.
const SAMPLE: usize = 4096;

/// The hash of small files, of safetensors files' sizes and headers, and of a sample of every tensor.
///
/// With `times` also of when these files were last written to; of those that have no time every byte counts then.
pub(super) fn quick(files: &Files, parts: &[Part], times: bool) -> Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        part.start(&mut hash);
        let file = files.open_unmapped(&part.path)?;
        let time = file.stamp().nanoseconds();
        if !part.tensors || (times && time.is_none()) {
            all(&file, &mut hash)?;
            continue;
        }
        if let Some(time) = time.filter(|_| times) {
            hash.update(time.to_le_bytes());
        }
        hash.update(header::bytes(&file)?);
        for (_, entry) in header::read(&file)? {
            let skipped = entry.range.len().saturating_sub(SAMPLE);
            let start = entry.range.start + skipped / 2;
            hash.update(file.read(start as u64..(start + entry.range.len() - skipped) as u64)?);
        }
    }
    Ok(hex(hash))
}

/// The hash of everything.
pub(super) fn full(files: &Files, parts: &[Part]) -> Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        part.start(&mut hash);
        all(&files.open_unmapped(&part.path)?, &mut hash)?;
    }
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
