//! Latents on disk: what the sampler ends with, or starts from.

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::video::output::Output;
use crate::weights::read_regular;

const NAME: &str = "latents";
/// Far above any video's latents; a larger file is not one.
const MAX_BYTES: u64 = 4 << 30;

/// A file of latents to come: made under a hidden name at once, so that a bad path is found before any work is done.
pub struct LatentsFile {
    path: PathBuf,
    output: Output,
}

impl LatentsFile {
    /// A file at `path`, which appears under its name when [`write`](Self::write) is done; nothing is left if this is
    /// dropped before.
    ///
    /// # Errors
    /// [`Error::Request`] if `path` is a folder, or exists and not `force`; [`Error::Io`].
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        Ok(Self { path: path.to_owned(), output: Output::file(path, force)? })
    }

    /// Writes latents `[C, T, H, W]` as a safetensors file of one tensor `latents`, F32.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Device`] if they cannot be had from a GPU.
    pub fn write(mut self, latents: &Tensor) -> Result<()> {
        let values: Vec<u8> = latents.values()?.iter().flat_map(|value| value.to_le_bytes()).collect();
        let refuse = |error: safetensors::SafeTensorError| Error::file(&self.path, error.to_string());
        let view = TensorView::new(Dtype::F32, latents.dims().to_vec(), &values).map_err(refuse)?;
        let bytes = safetensors::serialize([(NAME, view)], None).map_err(refuse)?;
        self.output.write(&bytes)?;
        self.output.finish()
    }
}

/// Writes latents `[C, T, H, W]` as a safetensors file of one tensor `latents`, F32; replaces an existing file.
///
/// The file appears under its name only when it is complete.
///
/// # Errors
/// [`Error::Io`].
pub fn save_latents(path: &Path, latents: &Tensor) -> Result<()> {
    LatentsFile::create(path, true)?.write(latents)
}

/// Reads a file that [`save_latents`] wrote: its shape `[C, T, H, W]` and its values.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] if the file does not hold one F32 tensor `latents` of rank 4 with finite
/// values.
pub fn load_latents(path: &Path) -> Result<([usize; 4], Vec<f32>)> {
    let bytes = read_regular(path, MAX_BYTES)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::file(path, format!("is not a safetensors file of latents: {error}")))?;
    let view = file.tensor(NAME).map_err(|_| Error::tensor(path, NAME, "is missing"))?;
    let shape: [usize; 4] = (view.shape().try_into())
        .map_err(|_| Error::tensor(path, NAME, format!("expected [C, T, H, W], found {:?}", view.shape())))?;
    if view.dtype() != Dtype::F32 {
        return Err(Error::tensor(path, NAME, format!("expected F32, found {:?}", view.dtype())));
    }
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::tensor(path, NAME, "holds NaN or infinity; a run cannot start from it"));
    }
    Ok((shape, values))
}
