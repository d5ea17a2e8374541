//! Hashes that tell one checkpoint from another.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use hmac_sha256::Hash as Sha256;

use super::header;
use super::mapped::{DataFile, Mapping, Stamp, open_regular};
use crate::error::{Error, Result};

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
    pub(super) fn small(root: &Path, name: String) -> Result<Self> {
        Self::new(root, name, false)
    }

    /// A safetensors file.
    pub(super) fn tensors(root: &Path, name: String) -> Result<Self> {
        Self::new(root, name, true)
    }

    fn new(root: &Path, name: String, tensors: bool) -> Result<Self> {
        let path = root.join(&name);
        let stamp = DataFile::open(&path, Mapping::Read)?.stamp();
        Ok(Self { name, path, tensors, stamp })
    }

    /// Starts this file's share: name and size.
    fn start(&self, hash: &mut Sha256) {
        hash.update((self.name.len() as u64).to_le_bytes());
        hash.update(&self.name);
        hash.update(self.stamp.len().to_le_bytes());
    }

    /// Adds every byte of the file.
    fn all(&self, hash: &mut Sha256) -> Result<()> {
        let mut file = open_regular(&self.path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(Error::io("read", &self.path))? {
                0 => return Ok(()),
                n => hash.update(&buffer[..n]),
            }
        }
    }
}

/// The hash of small files, and of safetensors files' sizes and headers.
pub(super) fn quick(parts: &[Part]) -> Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        part.start(&mut hash);
        if part.tensors {
            hash.update(header::bytes(&DataFile::open(&part.path, Mapping::Read)?)?);
        } else {
            part.all(&mut hash)?;
        }
    }
    Ok(hex(hash))
}

/// How much of a tensor [`sampled`] reads, from its middle.
const SAMPLE: usize = 4096;

/// The hash of small files, of safetensors files' sizes, times and headers, and of a sample of every tensor.
pub(super) fn sampled(parts: &[Part]) -> Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        part.start(&mut hash);
        if !part.tensors {
            part.all(&mut hash)?;
            continue;
        }
        let file = DataFile::open(&part.path, Mapping::Read)?;
        hash.update(file.stamp().nanoseconds().unwrap_or_default().to_le_bytes());
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
pub(super) fn full(parts: &[Part]) -> Result<String> {
    let mut hash = Sha256::new();
    for part in parts {
        part.start(&mut hash);
        part.all(&mut hash)?;
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
