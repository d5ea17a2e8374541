//! Deterministic inputs: the same numbers in every test crate, on every machine.

use half::{bf16, f16};

/// SplitMix64 (Steele, Lea and Flood, 2014): one multiplication chain per number, good enough for test data.
pub struct Random(u64);

impl Random {
    /// A stream of its own for each `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1), both ends excluded.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// A whole number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Mean 0, variance 1; twelve uniforms, so never beyond 6.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// What the numbers of an input look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// Mean 0, variance 1.
    Normal,
    /// A normal number times this.
    Scaled(f64),
    /// A normal number plus this: a mean far from zero.
    Offset(f64),
    /// Magnitudes from 1e-6 to 1e4 in one row, as in the residual stream of a deep transformer.
    Wide,
    /// One number everywhere.
    Constant(f64),
}

impl Fill {
    /// `len` numbers of the stream `seed`.
    pub fn make(self, seed: u64, len: usize) -> Vec<f32> {
        let mut random = Random::new(seed);
        let mut next = || match self {
            Self::Normal => random.normal(),
            Self::Scaled(scale) => random.normal() * scale,
            Self::Offset(mean) => random.normal() + mean,
            Self::Wide => random.normal().signum() * 10f64.powf(random.uniform() * 10.0 - 6.0),
            Self::Constant(value) => value,
        };
        (0..len).map(|_| next() as f32).collect()
    }
}

/// `len` normal numbers of the stream `seed`.
pub fn normal(seed: u64, len: usize) -> Vec<f32> {
    Fill::Normal.make(seed, len)
}

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Storage {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    BF16,
}

/// A weight as it lies in a checkpoint: little-endian bytes, here at an odd address on purpose.
pub struct Weight {
    storage: Storage,
    /// One byte, then the numbers.
    bytes: Vec<u8>,
}

impl Weight {
    /// `values` rounded to `storage`.
    pub fn new(values: &[f32], storage: Storage) -> Self {
        let mut bytes = vec![0];
        for &v in values {
            match storage {
                Storage::F32 => bytes.extend(v.to_le_bytes()),
                Storage::F16 => bytes.extend(f16::from_f32(v).to_le_bytes()),
                Storage::BF16 => bytes.extend(bf16::from_f32(v).to_le_bytes()),
            }
        }
        Self { storage, bytes }
    }

    /// How it is stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// What is stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[1..]
    }

    /// What is stored, widened: what the oracle computes with.
    pub fn values(&self) -> Vec<f32> {
        let bytes = self.bytes();
        match self.storage {
            Storage::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Storage::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Storage::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        }
    }
}
