//! Storage types: how files store numbers. One table says all that differs between them.

use std::fmt;

use half::bf16;
use safetensors::Dtype;
use zoetrope_kernels::Stored;

use crate::tensor::shape::Shape;

/// How a file stores a tensor's numbers, and in what form they stay in memory: kernels and shaders widen them to F32 as
/// they read them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    BF16,
}

/// What one storage type is.
struct Row {
    storage: Storage,
    name: &'static str,
    /// Its name in safetensors files, if they can hold it.
    safetensors: Option<Dtype>,
    /// Numbers in one block, which share what widening them takes; 1 where each stands alone.
    block_values: usize,
    /// Bytes of one block.
    block_bytes: usize,
    /// The number by which shaders know it (`shaders/include/weight.glsl`).
    shader: u32,
    /// The kernels' view of such bytes.
    view: fn(&[u8]) -> Stored<'_>,
    /// Whether F16 holds all numbers of such bytes without overflow; it may round them.
    fits_f16: fn(&[u8]) -> bool,
}

/// Every storage type, in the order of [`Storage`].
const TABLE: [Row; 3] = [
    Row {
        storage: Storage::F32,
        name: "F32",
        safetensors: Some(Dtype::F32),
        block_values: 1,
        block_bytes: 4,
        shader: 0,
        view: |bytes| Stored::F32(bytes),
        fits_f16: |bytes| {
            let magnitudes = bytes.as_chunks().0.iter().map(|&four| u32::from_le_bytes(four) & 0x7fff_ffff);
            magnitudes.fold(0, u32::max) < F16_OVERFLOW.to_bits()
        },
    },
    Row {
        storage: Storage::F16,
        name: "F16",
        safetensors: Some(Dtype::F16),
        block_values: 1,
        block_bytes: 2,
        shader: 1,
        view: |bytes| Stored::F16(bytes),
        fits_f16: |_| true,
    },
    Row {
        storage: Storage::BF16,
        name: "BF16",
        safetensors: Some(Dtype::BF16),
        block_values: 1,
        block_bytes: 2,
        shader: 2,
        view: |bytes| Stored::BF16(bytes),
        fits_f16: |bytes| {
            let magnitudes = bytes.as_chunks().0.iter().map(|&two| u16::from_le_bytes(two) & 0x7fff);
            magnitudes.fold(0, u16::max) < bf16::from_f32(F16_OVERFLOW).to_bits()
        },
    },
];

const _: () = {
    let mut i = 0;
    while i < TABLE.len() {
        assert!(TABLE[i].storage as usize == i, "the table is in the order of the enum");
        i += 1;
    }
};

/// The least magnitude that F16 rounds to infinity. The bits of numbers without a sign are in the numbers' order.
const F16_OVERFLOW: f32 = 65520.0;

impl Storage {
    /// Every storage type that is read.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.storage)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The bytes of a tensor of this shape; `None` if there are more than addresses, or if its rows are not whole blocks.
    pub fn bytes_for(self, shape: impl Into<Shape>) -> Option<usize> {
        let Row { block_values, block_bytes, .. } = self.row();
        let shape = shape.into();
        let values = shape.checked_numel()?;
        let whole = *block_values == 1 || shape.last().is_multiple_of(*block_values);
        if whole { (values / block_values).checked_mul(*block_bytes) } else { None }
    }

    /// The bytes of so many numbers, which are whole blocks and fit into memory.
    pub(crate) fn bytes_of(self, values: usize) -> usize {
        let Row { block_values, block_bytes, .. } = self.row();
        debug_assert!(values.is_multiple_of(*block_values), "{values} numbers are not whole blocks of {self}");
        values / block_values * block_bytes
    }

    /// The bytes of one block, the least that can be addressed.
    pub(crate) fn block_bytes(self) -> usize {
        self.row().block_bytes
    }

    /// The number by which shaders know it.
    pub(crate) fn shader_constant(self) -> u32 {
        self.row().shader
    }

    /// Bytes of this storage as kernels take them.
    pub(crate) fn view(self, bytes: &[u8]) -> Stored<'_> {
        (self.row().view)(bytes)
    }

    /// Whether F16 holds all numbers of these bytes without overflow; it may round them. Reads them all.
    pub(crate) fn fits_f16(self, bytes: &[u8]) -> bool {
        (self.row().fits_f16)(bytes)
    }

    /// The storage type of this name in a safetensors header, if it is one that is read.
    pub(super) fn of_safetensors(dtype: Dtype) -> Option<Self> {
        TABLE.iter().find(|row| row.safetensors == Some(dtype)).map(|row| row.storage)
    }

    /// The names of all storage types for a message: "F32, F16 and BF16".
    pub(super) fn list() -> String {
        let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_blocks_and_never_overflow() {
        assert_eq!(Storage::F32.bytes_for([3, 5]), Some(60));
        assert_eq!(Storage::BF16.bytes_for([0, 5]), Some(0));
        assert_eq!(Storage::F16.bytes_for([usize::MAX / 2 + 1]), None);
        for storage in Storage::all() {
            assert_eq!(storage.bytes_for([usize::MAX, 2]), None);
            assert_eq!(storage.bytes_for([7, 256]), Some(storage.bytes_of(7 * 256)));
            let bytes = vec![0; storage.bytes_of(256)];
            assert_eq!(storage.view(&bytes).len(), 256, "{storage}");
            assert!(storage.fits_f16(&bytes), "{storage}");
        }
    }

    #[test]
    fn what_f16_would_make_infinite_does_not_fit() {
        let fits = |x: f32| {
            let (f32s, bf16s) = (x.to_le_bytes(), bf16::from_f32(x).to_le_bytes());
            [Storage::F32.fits_f16(&f32s), Storage::BF16.fits_f16(&bf16s)]
        };
        assert_eq!(fits(65280.0), [true; 2]);
        assert_eq!(fits(-65519.996), [true, false]);
        assert_eq!([fits(65536.0), fits(f32::NEG_INFINITY), fits(f32::NAN)], [[false; 2]; 3]);
        assert!(Storage::F16.fits_f16(&half::f16::MAX.to_le_bytes()));
    }

    #[test]
    fn shaders_know_every_type_by_a_number_of_its_own() {
        let mut numbers: Vec<u32> = Storage::all().map(Storage::shader_constant).collect();
        numbers.dedup();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(Storage::list(), "F32, F16 and BF16");
    }
}
