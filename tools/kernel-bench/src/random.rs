//! Inputs: the same numbers on every machine, never zeros, which some devices compute faster.

use half::{bf16, f16};
use zoetrope::DType;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub struct Random(u64);

impl Random {
    /// A stream of its own for each seed.
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

    /// A whole number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    /// Mean 0, variance 1: the sum of four uniform numbers, never beyond 3.5.
    pub fn normal(&mut self) -> f32 {
        let bits = self.bits();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        // Four halves lead to the mean, another half past zero itself; the root of three makes the variance.
        ((sum as f32 + 2.5) / 65536.0 - 2.0) * 1.732_050_8
    }
}

/// Normal numbers, `scale` times.
pub fn normal(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..len).map(|_| scale * random.normal()).collect()
}

/// Stored numbers, little-endian.
pub fn stored(seed: u64, len: usize, scale: f32, dtype: DType) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(len * dtype.size());
    for _ in 0..len {
        let value = scale * random.normal();
        match dtype {
            DType::F32 => bytes.extend(value.to_le_bytes()),
            DType::F16 => bytes.extend(f16::from_f32(value).to_le_bytes()),
            DType::BF16 => bytes.extend(bf16::from_f32(value).to_le_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normal_and_repeatable() {
        let values = normal(3, 100_000, 1.0);
        let mean = values.iter().sum::<f32>() / 1e5;
        let square = values.iter().map(|x| x * x).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.02, "{mean} {square}");
        assert!(values.iter().all(|x| x.abs() < 3.5 && *x != 0.0));
        assert_eq!(normal(3, 9, 1.0), values[..9]);
        assert_ne!(normal(4, 9, 1.0), values[..9]);
    }
}
