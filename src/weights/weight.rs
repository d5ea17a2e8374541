//! One tensor of a checkpoint.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use zoetrope_kernels::Stored;

use super::bytes::Bytes;
use crate::error::{Error, Result};
use crate::tensor::DType;
use crate::tensor::Shape;
use crate::vulkan::Slot;

/// An immutable tensor of a checkpoint, in the bytes and the dtype in which it is stored.
///
/// Cheap to clone. The bytes are little-endian, row-major and may start at any address: what reads them must not
/// assume that they are aligned for their dtype.
#[derive(Clone)]
pub struct Weight {
    origin: Arc<Origin>,
    dtype: DType,
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
    /// A tensor whose bytes have been checked to be `shape` of `dtype`, or are left out.
    pub(super) fn new(name: String, file: Arc<Path>, dtype: DType, shape: Shape, bytes: Bytes) -> Self {
        debug_assert!([0, shape.numel() * dtype.size()].contains(&bytes.as_slice().len()));
        Self {
            origin: Arc::new(Origin { name, file }),
            dtype,
            shape,
            bytes,
            slot: Arc::default(),
            fits_f16: Arc::default(),
        }
    }

    /// A tensor of our own from stored bytes: little-endian elements of `dtype`, row-major.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when `bytes` is not of the length that `dtype` and `shape` ask for.
    pub fn from_bytes(
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Shape>,
        bytes: impl Into<Bytes>,
    ) -> Result<Self> {
        let (name, shape, bytes) = (name.into(), shape.into(), bytes.into());
        let takes = shape.checked_numel().and_then(|numel| numel.checked_mul(dtype.size()));
        if takes != Some(bytes.len()) {
            let takes = takes.map_or_else(|| "more bytes than there are addresses".into(), |n| format!("{n} bytes"));
            let why = format!("{dtype} {shape} takes {takes}, {} were given", bytes.len());
            return Err(Error::tensor(Path::new(MEMORY), &name, why));
        }
        Ok(Self::new(name, Path::new(MEMORY).into(), dtype, shape, bytes))
    }

    /// A tensor of our own in single precision.
    ///
    /// # Panics
    /// If `values` is not as long as `shape` asks for.
    pub fn from_f32(name: impl Into<String>, shape: impl Into<Shape>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(values.len(), shape.numel(), "a weight of shape {shape}");
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::new(name.into(), Path::new(MEMORY).into(), DType::F32, shape, bytes.into())
    }

    /// The axis lengths.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The storage type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The full name in its checkpoint.
    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// The file that holds it; `<memory>` for one that was made here.
    pub fn file(&self) -> &Path {
        &self.origin.file
    }

    /// The stored bytes: little-endian elements of [`Self::dtype`], row-major, at any alignment.
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
        // What is less than this is not rounded up to infinity.
        const END: f32 = 65520.0;
        // As bits, numbers without a sign are in their order.
        let fits = || match self.dtype {
            DType::F16 => true,
            DType::BF16 => {
                let numbers = self.bytes().as_chunks().0.iter().map(|&two| u16::from_le_bytes(two) & 0x7fff);
                numbers.fold(0, u16::max) < half::bf16::from_f32(END).to_bits()
            }
            DType::F32 => {
                let numbers = self.bytes().as_chunks().0.iter().map(|&four| u32::from_le_bytes(four) & 0x7fff_ffff);
                numbers.fold(0, u32::max) < END.to_bits()
            }
        };
        *self.fits_f16.get_or_init(fits)
    }

    /// The stored numbers, for kernels.
    pub(crate) fn stored(&self) -> Stored<'_> {
        match self.dtype {
            DType::F32 => Stored::F32(self.bytes()),
            DType::F16 => Stored::F16(self.bytes()),
            DType::BF16 => Stored::BF16(self.bytes()),
        }
    }

    /// A widened copy of all elements, for small vectors and tables.
    pub fn to_vec(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.bytes().len() / self.dtype.size()];
        self.stored().widen(0..values.len(), &mut values);
        values
    }
}

/// Stands for a path in messages about tensors that come from no file.
pub(super) const MEMORY: &str = "<memory>";

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight({} {} {})", self.name(), self.dtype, self.shape)
    }
}
