//! Writing a safetensors file: latents that are kept, checkpoints of tests.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, json};

use crate::error::{Error, Result};
use crate::shape::Shape;

/// Writes tensors in single precision as a safetensors file, in the order given; an existing file is replaced.
///
/// # Panics
/// If a tensor's values are not as many as its shape asks for.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &[(&str, Shape, &[f32])]) -> Result<()> {
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape, values) in tensors {
        assert_eq!(values.len(), shape.numel(), "{name} of shape {shape}");
        let start = end;
        end += size_of_val(*values);
        let entry = json!({ "dtype": "F32", "shape": shape.dims(), "data_offsets": [start, end] });
        header.insert((*name).to_owned(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // The format asks for data that starts at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');

    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, _, values) in tensors {
            for value in *values {
                file.write_all(&value.to_le_bytes())?;
            }
        }
        file.into_inner()?.sync_all()
    };
    write().map_err(Error::io("write", path))
}
