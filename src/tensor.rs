//! The tensor: contiguous, row-major, F32, at most five axes, cheap to clone.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::pool::Block;
use crate::shape::Shape;
use crate::weights::Weight;
use crate::work::Work;

/// A contiguous, row-major array of F32 on a [`Device`].
///
/// Clones share the buffer. [`reshape`](Self::reshape) and [`narrow`](Self::narrow) are free. Ops that take a tensor
/// by value write in place when nobody else holds its buffer.
#[derive(Clone)]
pub struct Tensor {
    shape: Shape,
    start: usize,
    buffer: Arc<Buffer>,
}

/// A block of a pool, given back when the last tensor over it goes.
#[derive(Debug)]
struct Buffer {
    block: Block,
    device: Device,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Device::Cpu(cpu) = &self.device;
        cpu.pool().give(std::mem::replace(&mut self.block, Block::Paper(0)));
    }
}

impl Tensor {
    /// A tensor with unspecified contents, for an op that writes all of it.
    pub(crate) fn uninit(device: &Device, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        let Device::Cpu(cpu) = device;
        let numel = shape.checked_numel().ok_or(Error::OutOfMemory { asked: u64::MAX, budget: None })?;
        let block = cpu.pool().take(numel)?;
        Ok(Self { shape, start: 0, buffer: Arc::new(Buffer { block, device: device.clone() }) })
    }

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device's budget does not allow it.
    pub fn zeros(device: &Device, shape: impl Into<Shape>) -> Result<Self> {
        let mut zeros = Self::uninit(device, shape)?;
        let Device::Cpu(cpu) = device;
        // Memory is read before it is written.
        cpu.run(Work::moved(2 * zeros.shape.numel()), zeros.data_mut()?, |_, out| out.fill(0.0));
        Ok(zeros)
    }

    /// A tensor with these values, row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] if `values` are not as many as `shape` holds, [`Error::OutOfMemory`] beyond the budget.
    pub fn from_slice(device: &Device, shape: impl Into<Shape>, values: &[f32]) -> Result<Self> {
        let shape = shape.into();
        if shape.checked_numel() != Some(values.len()) {
            let right = [values.len()].into();
            return Err(Error::Shape { op: "from_slice", left: shape, right, why: "as many values as elements" });
        }
        let mut tensor = Self::uninit(device, shape)?;
        let Device::Cpu(cpu) = device;
        cpu.run(Work::moved(2 * values.len()), tensor.data_mut()?, |_, out| out.copy_from_slice(values));
        Ok(tensor)
    }

    /// A tensor with the values of `weight`, widened.
    pub(crate) fn from_weight(device: &Device, shape: impl Into<Shape>, weight: &Weight) -> Result<Self> {
        let mut tensor = Self::uninit(device, shape)?;
        if tensor.shape.numel() != weight.shape().numel() {
            let why = "as many values as elements";
            return Err(Error::Shape { op: "from_weight", left: tensor.shape, right: weight.shape(), why });
        }
        let Device::Cpu(cpu) = device;
        let work = Work::moved(2 * tensor.shape.numel());
        cpu.run(work, tensor.data_mut()?, |_, out| weight.stored().widen(0..out.len(), out));
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

    /// Where the tensor lives.
    pub fn device(&self) -> &Device {
        &self.buffer.device
    }

    /// The values, row by row.
    pub fn to_vec(&self) -> Vec<f32> {
        self.data().to_vec()
    }

    /// The values in place; none of them on a device that only counts.
    pub fn data(&self) -> &[f32] {
        self.buffer.block.numbers().map_or(&[], |numbers| &numbers[self.range()])
    }

    /// The values in place, for writing; copied first if another tensor shares the buffer.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if a copy is needed and does not fit.
    pub(crate) fn data_mut(&mut self) -> Result<&mut [f32]> {
        if Arc::get_mut(&mut self.buffer).is_none() {
            let mut copy = Self::uninit(self.device(), self.shape)?;
            copy.data_mut()?.copy_from_slice(self.data());
            *self = copy;
        }
        let range = self.range();
        let buffer = Arc::get_mut(&mut self.buffer).expect("a fresh copy has one owner");
        Ok(buffer.block.numbers_mut().map_or(&mut [], |numbers| &mut numbers[range]))
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
        Ok(Self { shape: Shape::new(&dims), start, buffer: self.buffer.clone() })
    }

    /// Whether no value is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.data().iter().all(|value| value.is_finite())
    }

    fn range(&self) -> Range<usize> {
        self.start..self.start + self.shape.numel()
    }
}

/// Shape and device: a million numbers tell nobody anything.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({}, {:?})", self.shape, self.device())
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
            assert!(y.is_finite() && y.data().len() == y.to_vec().len());
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
        assert!(again.is_finite());
    }
}
