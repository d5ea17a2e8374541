//! A checkpoint's numbers where they lie.

use std::ops::Range;

use crate::simd::Simd;

/// A checkpoint's numbers in place: little-endian bytes at any alignment, widened to `f32` where a kernel reads them.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// IEEE 754 single precision, four bytes each.
    F32(&'a [u8]),
    /// IEEE 754 half precision, two bytes each.
    F16(&'a [u8]),
    /// The upper half of single precision, two bytes each.
    BF16(&'a [u8]),
}

impl<'a> Stored<'a> {
    /// How many numbers the bytes hold.
    pub fn len(&self) -> usize {
        self.bytes().len() / self.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the numbers of `range` to `out`, exactly.
    ///
    /// # Panics
    ///
    /// If the range leaves the numbers or its length is not `out`'s.
    pub fn widen(&self, range: Range<usize>, out: &mut [f32]) {
        assert_eq!(range.len(), out.len(), "numbers {range:?} go to as many");
        let bytes = &self.bytes()[range.start * self.size()..range.end * self.size()];
        match self {
            Self::F32(_) => {
                for (x, b) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = f32::from_le_bytes(*b);
                }
            }
            Self::F16(_) => {
                for (x, b) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = half::f16::from_le_bytes(*b).to_f32();
                }
            }
            Self::BF16(_) => {
                for (x, b) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *x = half::bf16::from_le_bytes(*b).to_f32();
                }
            }
        }
    }

    /// Bytes of one number.
    #[inline(always)]
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::F32(_) => 4,
            Self::F16(_) | Self::BF16(_) => 2,
        }
    }

    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        let (Self::F32(bytes) | Self::F16(bytes) | Self::BF16(bytes)) = *self;
        bytes
    }
}

impl<'a> From<&'a [f32]> for Stored<'a> {
    /// Numbers in memory, which are little-endian bytes on every target that Zoetrope supports.
    fn from(numbers: &'a [f32]) -> Self {
        const { assert!(cfg!(target_endian = "little"), "checkpoints are little-endian, and so must the machine be") };
        Self::F32(bytemuck::cast_slice(numbers))
    }
}

/// One storage type, known when the kernel is compiled.
pub(crate) trait Storage: Copy + Send + Sync {
    /// Bytes of one number.
    const SIZE: usize;
    /// Bytes of sixteen numbers.
    type Vector;

    /// The numbers in sixteens; up to fifteen at the end are left out.
    fn vectors(bytes: &[u8]) -> &[Self::Vector];

    /// Widens sixteen numbers.
    fn load<S: Simd>(s: S, vector: &Self::Vector) -> S::V;

    /// Widens the up to sixteen numbers that `bytes` holds; the other lanes are zero.
    #[inline(always)]
    fn load_partial<S: Simd>(s: S, bytes: &[u8]) -> S::V {
        let mut lanes = [0; 64];
        lanes[..bytes.len()].copy_from_slice(bytes);
        Self::load(s, &Self::vectors(&lanes)[0])
    }
}

/// [`Stored::F32`].
#[derive(Clone, Copy)]
pub(crate) struct F32;
/// [`Stored::F16`].
#[derive(Clone, Copy)]
pub(crate) struct F16;
/// [`Stored::BF16`].
#[derive(Clone, Copy)]
pub(crate) struct BF16;

/// Compiles an expression for each storage type and runs the one that fits.
macro_rules! for_storage {
    ($stored:expr, |$bytes:ident, $Storage:ident| $body:expr) => {
        match $stored {
            $crate::Stored::F32($bytes) => {
                type $Storage = $crate::stored::F32;
                $body
            }
            $crate::Stored::F16($bytes) => {
                type $Storage = $crate::stored::F16;
                $body
            }
            $crate::Stored::BF16($bytes) => {
                type $Storage = $crate::stored::BF16;
                $body
            }
        }
    };
}
pub(crate) use for_storage;

impl Storage for F32 {
    const SIZE: usize = 4;
    type Vector = [u8; 64];

    #[inline(always)]
    fn vectors(bytes: &[u8]) -> &[Self::Vector] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, vector: &Self::Vector) -> S::V {
        s.load_f32_bytes(vector)
    }
}

impl Storage for F16 {
    const SIZE: usize = 2;
    type Vector = [u8; 32];

    #[inline(always)]
    fn vectors(bytes: &[u8]) -> &[Self::Vector] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, vector: &Self::Vector) -> S::V {
        s.load_f16_bytes(vector)
    }
}

impl Storage for BF16 {
    const SIZE: usize = 2;
    type Vector = [u8; 32];

    #[inline(always)]
    fn vectors(bytes: &[u8]) -> &[Self::Vector] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn load<S: Simd>(s: S, vector: &Self::Vector) -> S::V {
        s.load_bf16_bytes(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_alignment_and_any_type_widens() {
        let numbers = [1.0f32, -2.5, 0.15625, 65504.0, 0.0, -1e-3, 3.0, 4.0, 5.0];
        let f32s: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let f16s: Vec<u8> = numbers.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
        let bf16s: Vec<u8> = numbers.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
        for offset in 0..4 {
            let shift = |bytes: &[u8]| [vec![0xaa; offset], bytes.to_vec()].concat();
            let (f32s, f16s, bf16s) = (shift(&f32s), shift(&f16s), shift(&bf16s));
            for (stored, want) in [
                (Stored::F32(&f32s[offset..]), numbers),
                (Stored::F16(&f16s[offset..]), numbers.map(|x| half::f16::from_f32(x).to_f32())),
                (Stored::BF16(&bf16s[offset..]), numbers.map(|x| half::bf16::from_f32(x).to_f32())),
            ] {
                assert_eq!(stored.len(), 9);
                let mut out = [0.0; 6];
                stored.widen(2..8, &mut out);
                assert_eq!(out, want[2..8]);
            }
        }
        assert!(Stored::from(&[][..]).is_empty());
        assert_eq!(Stored::from(&numbers[..]).len(), 9);
    }
}
