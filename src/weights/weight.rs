//! One tensor of a checkpoint.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use zoetrope_kernels::Stored;

use super::file::bytes::Bytes;
use super::slot::Slot;
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::tensor::shape::Shape;

/// An immutable tensor of a checkpoint, in the bytes and the [`Storage`] in which its file holds it.
///
/// Cheap to clone. The bytes are little-endian, row-major and may start at any address: what reads them must not
/// assume that they are aligned.
#[derive(Clone)]
pub struct Weight {
    origin: Arc<Origin>,
    storage: Storage,
    shape: Shape,
    bytes: Bytes,
    /// Its copy on a GPU, once an op there has used it; shared by all clones.
    slot: Arc<Slot>,
    /// Whether F16 holds its numbers, once a GPU has asked.
    fits_f16: Arc<OnceLock<bool>>,
}

/// Where a tensor came from, for messages.
struct Origin {
    name: String,
    file: Arc<Path>,
}

impl Weight {
    /// A tensor whose bytes have been checked to be `shape` in `storage`, or are left out.
    pub(super) fn new(name: String, file: Arc<Path>, storage: Storage, shape: Shape, bytes: Bytes) -> Self {
        debug_assert!(bytes.len() == 0 || storage.bytes_for(shape) == Some(bytes.len()));
        Self {
            origin: Arc::new(Origin { name, file }),
            storage,
            shape,
            bytes,
            slot: Arc::default(),
            fits_f16: Arc::default(),
        }
    }

    /// A tensor of our own from stored bytes: numbers in `storage`, row-major.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when `bytes` is not of the length that `storage` and `shape` ask for.
    pub fn from_bytes(
        name: impl Into<String>,
        storage: Storage,
        shape: impl Into<Shape>,
        bytes: impl Into<Bytes>,
    ) -> Result<Self> {
        let (name, shape, bytes) = (name.into(), shape.into(), bytes.into());
        let takes = storage.bytes_for(shape);
        if takes != Some(bytes.len()) {
            let takes = takes.map_or_else(|| "no number of bytes".into(), |n| format!("{n} bytes"));
            let why = format!("{storage} {shape} takes {takes}, {} were given", bytes.len());
            return Err(Error::tensor(Path::new(MEMORY), &name, why));
        }
        Ok(Self::new(name, Path::new(MEMORY).into(), storage, shape, bytes))
    }

    /// A tensor of our own in single precision.
    ///
    /// # Panics
    /// If `values` is not as long as `shape` asks for.
    pub fn from_f32(name: impl Into<String>, shape: impl Into<Shape>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(values.len(), shape.numel(), "a weight of shape {shape}");
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name.into(), Path::new(MEMORY).into(), Storage::F32, shape, bytes.into())
    }

    /// The axis lengths.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// How its numbers are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// The full name in its checkpoint.
    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// The file that holds it; `<memory>` for one that was made here.
    pub fn file(&self) -> &Path {
        &self.origin.file
    }

    /// The stored bytes: numbers in [`Self::storage`], little-endian, row-major, at any alignment.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The same bytes under another shape: a conv's `[D, C, 1, 2, 2]` is the matrix `[D, 4 C]`.
    ///
    /// # Panics
    /// If `dims` does not hold the same number of elements.
    pub(crate) fn reshaped(&self, dims: &[usize]) -> Self {
        let shape = Shape::new(dims);
        assert_eq!(shape.numel(), self.shape.numel(), "{}: {} as {shape}", self.name(), self.shape);
        // A GPU may keep another shape otherwise.
        Self { shape, slot: Arc::default(), ..self.clone() }
    }

    /// The part `range` of the outermost axis, of the same bytes.
    ///
    /// # Panics
    /// If there is no axis, or `range` is not within it.
    pub(crate) fn rows(&self, range: Range<usize>) -> Self {
        let mut dims = self.shape.dims().to_vec();
        assert!(range.start <= range.end && range.end <= dims[0], "{}: rows {range:?} of {}", self.name(), self.shape);
        let row = self.bytes().len() / dims[0].max(1);
        dims[0] = range.len();
        let bytes = self.bytes.narrow(range.start * row..range.end * row);
        Self { shape: Shape::new(&dims), bytes, slot: Arc::default(), fits_f16: Arc::default(), ..self.clone() }
    }

    /// Where its copy on a GPU is kept.
    #[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nothing is copied"))]
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Whether F16 holds all its numbers, though it may round them; reads them when it is first asked.
    #[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nobody asks"))]
    pub(crate) fn fits_f16(&self) -> bool {
        *self.fits_f16.get_or_init(|| self.storage.fits_f16(self.bytes()))
    }

    /// The stored numbers, for kernels.
    pub(crate) fn stored(&self) -> Stored<'_> {
        self.storage.view(self.bytes())
    }

    /// A widened copy of all elements, for small vectors and tables.
    pub fn to_vec(&self) -> Vec<f32> {
        let stored = self.stored();
        let mut values = vec![0.0; stored.len()];
        stored.widen(0..values.len(), &mut values);
        values
    }
}

/// Stands for a path in messages about tensors that come from no file.
pub(super) const MEMORY: &str = "<memory>";

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight({} {} {})", self.name(), self.storage, self.shape)
    }
}
