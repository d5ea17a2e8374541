//! Latents on disk: what the sampler ends with, or starts from.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::output::Output;
use crate::tensor::Tensor;
use crate::weights::read_regular;

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
    let mut output = Output::file(path, true)?;
    output.write(&bytes)?;
    output.finish()
}

/// Reads a file that [`save_latents`] wrote: its shape `[C, T, H, W]` and its values.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] if the file does not hold one F32 tensor `latents` of rank 4.
pub fn load_latents(path: &Path) -> Result<([usize; 4], Vec<f32>)> {
    let bytes = read_regular(path, MAX_BYTES)?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| Error::file(path, format!("not a safetensors file of latents: {error}")))?;
    let view = file.tensor(NAME).map_err(|_| Error::tensor(path, NAME, "missing"))?;
    let shape: [usize; 4] = (view.shape().try_into())
        .map_err(|_| Error::tensor(path, NAME, format!("expected [C, T, H, W], found {:?}", view.shape())))?;
    if view.dtype() != Dtype::F32 {
        return Err(Error::tensor(path, NAME, format!("expected F32, found {:?}", view.dtype())));
    }
    let values = view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    Ok((shape, values))
}
