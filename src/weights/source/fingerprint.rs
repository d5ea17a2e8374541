//! Hashes that tell one checkpoint from another.

use std::path::{Path, PathBuf};

use hmac_sha256::Hash as Sha256;

use crate::error::Result;
use crate::weights::file::data::{DataFile, Stamp};
use crate::weights::file::files::Files;
use crate::weights::format::read;
use crate::weights::hash::hex;

/// One file that goes into a hash, under its name within the checkpoint.
pub(super) struct HashedFile {
    name: String,
    path: PathBuf,
    tensors: bool,
    stamp: Stamp,
}

impl HashedFile {
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

    /// Adds the file's name and size.
    fn add_name(&self, hash: &mut Sha256) {
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

/// How much of a tensor [`fingerprint`] reads, from its middle.
const SAMPLE: usize = 4096;

/// The hash of small files, of safetensors files' sizes and headers, and of a sample of every tensor.
///
/// With `times` also of when these files were last written to; of those that have no time every byte counts then.
pub(super) fn fingerprint(files: &Files, hashed_files: &[HashedFile], times: bool) -> Result<String> {
    let mut hash = Sha256::new();
    for hashed in hashed_files {
        hashed.add_name(&mut hash);
        let file = files.open_unmapped(&hashed.path)?;
        let time = file.stamp().nanoseconds();
        if !hashed.tensors || (times && time.is_none()) {
            all(&file, &mut hash)?;
            continue;
        }
        if let Some(time) = time.filter(|_| times) {
            hash.update(time.to_le_bytes());
        }
        let header = read::header(&file)?;
        hash.update(&header.bytes);
        for (_, entry) in header.tensors {
            let skipped = entry.range.len().saturating_sub(SAMPLE);
            let start = entry.range.start + skipped / 2;
            hash.update(file.read(start as u64..(start + entry.range.len() - skipped) as u64)?);
        }
    }
    Ok(hex(&hash.finalize()))
}
