//! The tensors of a file, in whatever format it is.

use super::header::Header;
use super::safetensors;
use super::sniff::{self, Expected, SNIFFED};
use crate::error::{Error, Result};
use crate::weights::file::data::DataFile;

/// Reads what a file says of its tensors.
///
/// # Errors
/// [`Error::Checkpoint`] naming file and tensor if it is damaged, or of a format that is not read.
pub(crate) fn header(file: &DataFile) -> Result<Header> {
    let start = file.read(0..file.len().min(SNIFFED as u64))?;
    match sniff::mistaken(&start, Expected::Safetensors) {
        Some(why) => Err(Error::file(file.path(), why)),
        None => safetensors::header(file),
    }
}
