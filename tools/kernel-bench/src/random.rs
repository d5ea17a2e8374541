//! Inputs: the same numbers on every machine, never zeros, which some devices compute faster.

use half::{bf16, f16};

use speeds::results::Storage;

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

/// After so many, numbers come again: a prime, so that no two rows of a matrix are alike.
const PERIOD: usize = 1_048_573;

/// Normal numbers, `scale` times.
pub fn normal(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut random = Random::new(seed);
    repeated((0..len.min(PERIOD)).map(|_| scale * random.normal()).collect(), len)
}

/// Stored numbers, little-endian.
pub fn stored(seed: u64, len: usize, scale: f32, storage: Storage) -> Vec<u8> {
    let numbers = normal(seed, len.min(PERIOD), scale);
    let bytes: Vec<u8> = match storage {
        Storage::F32 => numbers.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Storage::F16 => numbers.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        Storage::Bf16 => numbers.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
    };
    repeated(bytes, len * storage.size())
}

/// So many, from the beginning again where they end.
fn repeated<T: Copy>(mut values: Vec<T>, len: usize) -> Vec<T> {
    while (1..len).contains(&values.len()) {
        values.extend_from_within(..values.len().min(len - values.len()));
    }
    values
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
        let long = normal(3, 3 * PERIOD - 2, 2.0);
        assert!(long.len() == 3 * PERIOD - 2 && long[..PERIOD] == long[PERIOD..2 * PERIOD]);
        let stored = stored(3, 3 * PERIOD - 2, 2.0, Storage::F32);
        assert!(stored.chunks_exact(4).zip(&long).all(|(bytes, value)| bytes == value.to_le_bytes()));
    }
}
