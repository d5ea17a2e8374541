//! The tensor: contiguous, row-major, at most five axes, cheap to clone; F32, or F16 on a GPU at half precision.

pub(crate) mod dtype;
pub mod rng;
pub(crate) mod shape;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::f16;

pub use self::dtype::DType;
pub use self::shape::{MAX_RANK, Shape};
use crate::device::pool::Block;
use crate::device::work::Work;
use crate::device::{Device, Precision};
use crate::error::{DeviceFault, Error, Result};
use crate::vulkan::{self, Vulkan};
use crate::weights::weight::Weight;

/// A contiguous, row-major array of F32 on a [`Device`], or of F16 where an op had that as its [output type](OutputType).
///
/// Clones share the buffer. [`reshape`](Self::reshape) and [`narrow`](Self::narrow) are free. Ops that take a tensor
/// by value write in place when nobody else holds its buffer.
#[derive(Clone)]
pub struct Tensor {
    shape: Shape,
    dtype: DType,
    start: usize,
    /// With the job that this tensor belongs to; the buffer's own handle only gives it back.
    device: Device,
    buffer: Arc<Buffer>,
}

/// The type that an op gives its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputType {
    /// F32.
    #[default]
    F32,
    /// That of operands of matrix products, attention, convolutions and norms: F16 on a device at
    /// [half precision](Precision::Half) if the last axis is even, else F32.
    Operand,
}

/// Bytes in which buffers are counted.
const WORD: usize = size_of::<f32>();

/// A block of a pool, given back when the last tensor over it goes.
#[derive(Debug)]
struct Buffer {
    memory: Memory,
    device: Device,
}

#[derive(Debug)]
enum Memory {
    Host(Block),
    Vulkan(vulkan::Block),
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match (&self.device, std::mem::replace(&mut self.memory, Memory::Host(Block::Counted(0)))) {
            (Device::Cpu(cpu), Memory::Host(block)) => cpu.pool().give(block),
            (Device::Vulkan(vulkan), Memory::Vulkan(block)) => vulkan.give(block),
            _ => {}
        }
    }
}

impl Tensor {
    /// A tensor of F32 with unspecified contents, for an op that writes all of it.
    pub(crate) fn uninit(device: &Device, shape: impl Into<Shape>) -> Result<Self> {
        Self::uninit_of(device, shape.into(), DType::F32)
    }

    /// [`uninit`](Self::uninit) of an output type.
    pub(crate) fn uninit_as(device: &Device, shape: impl Into<Shape>, output: OutputType) -> Result<Self> {
        let shape = shape.into();
        // Rows of whole words: so is where each begins.
        let packed =
            output == OutputType::Operand && device.precision() == Precision::Half && shape.last().is_multiple_of(2);
        Self::uninit_of(device, shape, if packed { DType::F16 } else { DType::F32 })
    }

    fn uninit_of(device: &Device, shape: Shape, dtype: DType) -> Result<Self> {
        let numel = shape.checked_numel().ok_or(Error::OutOfMemory { asked: u64::MAX, budget: None })?;
        let words = numel.div_ceil(WORD / dtype.size());
        let memory = match device {
            Device::Cpu(cpu) => Memory::Host(cpu.pool().take(words)?),
            Device::Vulkan(vulkan) => Memory::Vulkan(vulkan.take(words)?),
        };
        let buffer = Arc::new(Buffer { memory, device: device.clone() });
        Ok(Self { shape, dtype, start: 0, device: device.clone(), buffer })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device's budget does not allow it.
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Result<Self> {
        let mut zeros = Self::uninit(device, shape)?;
        // Memory is read before it is written.
        let work = Work::moved(2 * zeros.shape.numel());
        match device {
            Device::Cpu(cpu) => cpu.run(work, zeros.data_mut()?, |_, out| out.fill(0.0)),
            Device::Vulkan(vulkan) => vulkan.fill_zero(zeros.on(vulkan)?.0, zeros.shape.numel(), work)?,
        }
        Ok(zeros)
    }

    /// A tensor with these values, row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] if `values` are not as many as `shape` holds, [`Error::OutOfMemory`] beyond the budget.
    pub fn from_slice(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        Self::from_slice_as(device, shape, values, OutputType::F32)
    }

    /// [`from_slice`](Self::from_slice) of an output type: the values are rounded if that is F16.
    ///
    /// # Errors
    /// As [`from_slice`](Self::from_slice).
    pub fn from_slice_as(device: &Device, shape: impl Into<Shape>, values: &[f32], output: OutputType) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_numel() != Some(values.len()) {
            let right = [values.len()].into();
            return Err(Error::Shape { op: "from_slice", left: shape, right, why: "as many values as elements" });
        }
        let mut tensor = Self::uninit_as(device, shape, output)?;
        match device {
            Device::Cpu(cpu) => {
                cpu.run(Work::moved(2 * values.len()), tensor.data_mut()?, |_, out| out.copy_from_slice(values));
            }
            Device::Vulkan(vulkan) if tensor.dtype == DType::F16 => {
                let bits: Vec<u16> = values.iter().map(|&value| f16::from_f32(value).to_bits()).collect();
                let words: Vec<f32> =
                    bits.chunks(2).map(|pair| f32::from_bits(bytemuck::cast([pair[0], pair[1]]))).collect();
                vulkan.upload(tensor.on(vulkan)?.0, 0, &words)?;
            }
            Device::Vulkan(vulkan) => vulkan.upload(tensor.on(vulkan)?.0, 0, values)?,
        }
        Ok(tensor)
    }

    /// A tensor whose values `fill` writes, row by row; on a device that only counts it gets none to write.
    pub(crate) fn from_fn(device: &Device, shape: impl Into<Shape>, fill: impl FnOnce(&mut [f32])) -> Result<Self> {
        let mut tensor = Self::uninit(device, shape)?;
        match device {
            Device::Cpu(_) => fill(tensor.data_mut()?),
            Device::Vulkan(vulkan) => {
                let mut values = vec![0.0; tensor.shape.numel()];
                fill(&mut values);
                vulkan.upload(tensor.on(vulkan)?.0, 0, &values)?;
            }
        }
        Ok(tensor)
    }

    /// A tensor with the values of `weight`, widened.
    pub(crate) fn from_weight(device: &Device, shape: impl Into<Shape>, weight: &Weight) -> Result<Self> {
        let mut tensor = Self::uninit(device, shape)?;
        if tensor.shape.numel() != weight.shape().numel() {
            let why = "as many values as elements";
            return Err(Error::Shape { op: "from_weight", left: tensor.shape, right: weight.shape(), why });
        }
        let work = Work::moved(2 * tensor.shape.numel());
        match device {
            Device::Cpu(cpu) => {
                cpu.run(work, tensor.data_mut()?, |_, out| weight.stored().widen(0..out.len(), out));
            }
            Device::Vulkan(vulkan) => vulkan.upload(tensor.on(vulkan)?.0, 0, &weight.to_vec())?,
        }
        Ok(tensor)
    }

    /// The axis lengths.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The axis lengths as a slice.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Whether the values are F16.
    pub(crate) fn is_f16(&self) -> bool {
        self.dtype == DType::F16
    }

    /// Where the tensor lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same values as a tensor of `device` and its job: free where they are there already, else copied through the
    /// processor.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] beyond the budget; [`Error::Device`] if a GPU was lost.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if self.device.is(device) {
            return Ok(Self { device: device.clone(), ..self.clone() });
        }
        Self::from_slice(device, self.shape, &self.values()?)
    }

    /// The values, row by row.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        self.values().map(Cow::into_owned)
    }

    /// The values, row by row: in place on a processor, copied from a GPU, which is waited for.
    ///
    /// # Errors
    /// [`Error::Device`] if the GPU was lost.
    pub fn values(&self) -> Result<Cow<'_, [f32]>> {
        match (self.device(), &self.buffer.memory) {
            (Device::Vulkan(vulkan), Memory::Vulkan(block)) => {
                let words = self.words(0..self.shape.numel());
                let values = vulkan.download(block, words.start, words.len())?;
                Ok(Cow::Owned(match self.dtype {
                    DType::F16 => bytemuck::cast_slice::<f32, f16>(&values).iter().map(|half| half.to_f32()).collect(),
                    DType::F32 => values,
                }))
            }
            _ => Ok(Cow::Borrowed(self.data())),
        }
    }

    /// The values in place; none of them on a device that only counts, or on a GPU: ops have seen to it that their
    /// operands are in one place.
    pub(crate) fn data(&self) -> &[f32] {
        match &self.buffer.memory {
            Memory::Host(block) => block.numbers().map_or(&[], |numbers| &numbers[self.range()]),
            Memory::Vulkan(_) => &[],
        }
    }

    /// The buffer on this GPU, and the element in it at which the values begin.
    ///
    /// # Errors
    /// [`Error::Device`] if the tensor lives elsewhere.
    pub(crate) fn on(&self, vulkan: &Vulkan) -> Result<(&vulkan::Block, usize)> {
        match (self.device(), &self.buffer.memory) {
            (Device::Vulkan(own), Memory::Vulkan(block)) if own.is(vulkan) => Ok((block, self.start)),
            _ => {
                let why = format!("one is on {:?}, this op runs on another device", self.device());
                Err(Error::Device { fault: DeviceFault::Elsewhere, why })
            }
        }
    }

    /// Makes this tensor the only one on its buffer: copied if another shares it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if a copy is needed and does not fit.
    pub(crate) fn unshare(&mut self) -> Result<()> {
        if Arc::get_mut(&mut self.buffer).is_some() {
            return Ok(());
        }
        let mut copy = self.uninit_like(self.shape)?;
        match self.device() {
            Device::Cpu(_) => copy.data_mut()?.copy_from_slice(self.data()),
            Device::Vulkan(vulkan) => {
                let all = 0..self.shape.numel();
                let (from, to) = (self.words(all.clone()), copy.words(all));
                vulkan.copy((self.on(vulkan)?.0, from), (copy.on(vulkan)?.0, to), Work::default())?;
            }
        }
        *self = copy;
        Ok(())
    }

    /// Words of the buffer that hold elements; pairs of F16 are whole words.
    pub(crate) fn words(&self, elements: Range<usize>) -> Range<usize> {
        let each = WORD / self.dtype.size();
        (self.start + elements.start) / each..(self.start + elements.end).div_ceil(each)
    }

    /// A tensor of this type and place with unspecified contents.
    pub(crate) fn uninit_like(&self, shape: impl Into<Shape>) -> Result<Self> {
        Self::uninit_of(self.device(), shape.into(), self.dtype)
    }

    /// The values in place, for writing; copied first if another tensor shares the buffer.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if a copy is needed and does not fit.
    pub(crate) fn data_mut(&mut self) -> Result<&mut [f32]> {
        self.unshare()?;
        let range = self.range();
        let buffer = Arc::get_mut(&mut self.buffer).expect("a fresh copy has one owner");
        match &mut buffer.memory {
            Memory::Host(block) => Ok(block.numbers_mut().map_or(&mut [], |numbers| &mut numbers[range])),
            Memory::Vulkan(_) => Ok(&mut []),
        }
    }

    /// The same values under another shape with as many elements; free.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of elements differs.
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_numel() != Some(self.shape.numel()) {
            return Err(Error::Shape { op: "reshape", left: self.shape, right: shape, why: "as many elements" });
        }
        if self.dtype != DType::F32 && !shape.last().is_multiple_of(2) {
            return Err(Error::Shape { op: "reshape", left: self.shape, right: shape, why: "rows of F16 are even" });
        }
        self.shape = shape;
        Ok(self)
    }

    /// Rows `range` of the leading axis; shares the buffer.
    ///
    /// # Errors
    /// [`Error::Shape`] if the range lies outside the axis.
    pub fn narrow(&self, range: Range<usize>) -> Result<Self> {
        let length = self.dims().first().copied().unwrap_or(0);
        if range.start > range.end || range.end > length {
            let right = [range.start, range.end].into();
            return Err(Error::Shape { op: "narrow", left: self.shape, right, why: "a range of the leading axis" });
        }
        let mut dims = self.dims().to_vec();
        dims[0] = range.len();
        let row: usize = dims[1..].iter().product();
        let start = self.start + range.start * row;
        Ok(Self { shape: Shape::new(&dims), start, ..self.clone() })
    }

    /// Whether no value is NaN or infinite.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn is_finite(&self) -> Result<bool> {
        let vulkan = match self.device() {
            Device::Vulkan(vulkan) if self.dtype == DType::F32 => vulkan,
            _ => return Ok(self.values()?.iter().all(|value| value.is_finite())),
        };
        let (block, start) = self.on(vulkan)?;
        vulkan.is_finite(block, start, self.shape.numel())
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape.numel()
    }
}

/// Shape and device: a million numbers tell nobody anything.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}, {}, {:?})", self.shape, self.dtype, self.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iota(shape: &[usize]) -> Tensor {
        let device = Device::cpu().unwrap();
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32).collect();
        Tensor::from_slice(&device, shape, &values).unwrap()
    }

    #[test]
    fn narrow_and_reshape_share_the_buffer() {
        let x = iota(&[4, 3]);
        let rows = x.narrow(1..3).unwrap().reshape([6]).unwrap();
        assert_eq!(rows.data(), &[3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!(Arc::ptr_eq(&x.buffer, &rows.buffer));
        assert!(x.narrow(3..5).is_err());
        assert!(x.reshape([5]).is_err());
    }

    #[test]
    fn sizes_past_all_memory_are_refused() {
        let device = Device::cpu().unwrap();
        for shape in [[usize::MAX, 2, 1], [1 << 40, 1 << 40, 0], [0, usize::MAX, usize::MAX]] {
            assert!(matches!(Tensor::zeros(&device, shape), Err(Error::OutOfMemory { .. })));
            assert!(matches!(Tensor::from_slice(&device, shape, &[]), Err(Error::Shape { .. })));
            assert!(matches!(iota(&[0]).reshape(shape), Err(Error::Shape { .. })));
        }
        assert!(Tensor::zeros(&device, [0, 1 << 20]).is_ok());
    }

    #[test]
    fn writing_copies_only_what_is_shared() {
        let mut x = iota(&[4]);
        let before = x.data().as_ptr();
        x.data_mut().unwrap()[0] = 9.0;
        assert_eq!(x.data().as_ptr(), before);
        let y = x.clone();
        x.data_mut().unwrap()[0] = 1.0;
        assert_eq!((x.data()[0], y.data()[0]), (1.0, 9.0));
    }

    #[test]
    fn a_device_that_only_counts_has_no_numbers_and_every_byte() {
        let device = Device::cpu().unwrap();
        let counting = device.counting();
        let figures = [&device, &counting].map(|device| {
            let x = Tensor::from_slice(device, [3, 1 << 14], &[1.0; 3 << 14]).unwrap();
            let mut y = x.narrow(1..2).unwrap();
            y.data_mut().unwrap().fill(2.0);
            assert!(y.is_finite().unwrap() && y.data().len() == y.to_vec().unwrap().len());
            (device.pool_stats(), device.work())
        });
        assert_eq!(figures[0], figures[1]);
        let huge = Tensor::zeros(&counting, [1 << 20, 1 << 20]).unwrap();
        assert_eq!((huge.data().len(), huge.shape().numel()), (0, 1 << 40));
    }

    #[test]
    fn a_dropped_tensor_returns_to_the_pool() {
        let device = Device::cpu().unwrap();
        drop(Tensor::zeros(&device, [1 << 16]).unwrap());
        let again = Tensor::zeros(&device, [1 << 16]).unwrap();
        assert_eq!(device.pool_stats().hits, 1);
        assert!(again.is_finite().unwrap());
    }
}
