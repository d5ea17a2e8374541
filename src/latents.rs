//! Latents on disk: what the sampler ends with, or starts from.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

const NAME: &str = "latents";
/// Far above any video's latents; a larger file is not one.
const MAX_BYTES: u64 = 4 << 30;

/// Writes latents `[C, T, H, W]` as a safetensors file of one tensor `latents`, F32.
///
/// The file appears under its name only when it is complete.
///
/// # Errors
/// [`Error::Io`].
pub fn save_latents(path: &Path, latents: &Tensor) -> Result<()> {
    let values: Vec<u8> = latents.data().iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, latents.dims().to_vec(), &values)
        .map_err(|error| Error::file(path, error.to_string()))?;
    let bytes = safetensors::serialize([(NAME, view)], None).map_err(|error| Error::file(path, error.to_string()))?;
    let partial = partial_name(path);
    let written = fs::File::create(&partial)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| {
        // Nothing to add if the clean-up fails too: the first error is the one that matters.
        let _ = fs::remove_file(&partial);
        Error::Io { doing: "write", path: path.to_owned(), source }
    })
}

/// Reads a file that [`save_latents`] wrote: its shape `[C, T, H, W]` and its values.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] if the file does not hold one F32 tensor `latents` of rank 4.
pub fn load_latents(path: &Path) -> Result<([usize; 4], Vec<f32>)> {
    let size = fs::metadata(path).map_err(Error::io("open", path))?.len();
    if size > MAX_BYTES {
        return Err(Error::file(path, format!("{size} bytes are too many for a file of latents")));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::file(path, format!("not a safetensors file of latents: {error}")))?;
    let view = file.tensor(NAME).map_err(|_| Error::tensor(path, NAME, "missing"))?;
    let shape: [usize; 4] = (view.shape().try_into())
        .map_err(|_| Error::tensor(path, NAME, format!("expected [C, T, H, W], found {:?}", view.shape())))?;
    if view.dtype() != Dtype::F32 {
        return Err(Error::tensor(path, NAME, format!("expected F32, found {:?}", view.dtype())));
    }
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((shape, values))
}

/// Beside the target, so that the rename stays within one file system.
fn partial_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial-{}", std::process::id()))
}
