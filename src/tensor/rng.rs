//! Noise from a seed, equal to what PyTorch draws on the CPU.
//!
//! The generator is MT19937 (Matsumoto and Nishimura, 1998). PyTorch turns its words into normal values in two ways:
//! tensors of 16 values or more take single-precision Box-Muller pairs eight apart in blocks of 16, smaller ones take
//! double-precision pairs one after the other.

use std::f64::consts::TAU;

/// Words in the state of MT19937.
const STATE: usize = 624;
/// How far ahead the recurrence of MT19937 reaches.
const AHEAD: usize = 397;
/// Values that the Box-Muller transform for large tensors handles together.
const BLOCK: usize = 16;

/// Standard normal values, equal to `torch.randn(len, generator=torch.Generator("cpu").manual_seed(seed))` in f32.
///
/// The values follow PyTorch's vectorised x86-64 build to one unit in the last place (its sine, cosine and logarithm are
/// polynomials, these are rounded from f64); the shape of a tensor does not matter, only its length and the row-major
/// order. As in PyTorch only the low 32 bits of the seed count, so that 2^32 draws what 0 draws.
pub fn randn(seed: u64, len: usize) -> Vec<f32> {
    let mut words = Mt19937::new(seed as u32);
    if len < BLOCK {
        return small(&mut words, len);
    }
    let mut values: Vec<f32> = (0..len).map(|_| words.uniform()).collect();
    values.chunks_exact_mut(BLOCK).for_each(box_muller);
    if !len.is_multiple_of(BLOCK) {
        // The last block is drawn afresh and overlaps its neighbour, whose values it replaces.
        let last = &mut values[len - BLOCK..];
        last.fill_with(|| words.uniform());
        box_muller(last);
    }
    values
}

/// The path for fewer than 16 values: pairs in double precision, cosine first, the sine kept for the next value.
fn small(words: &mut Mt19937, len: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(len + 1);
    while values.len() < len {
        let turn = TAU * words.uniform_double();
        let radius = (-2.0 * (-words.uniform_double()).ln_1p()).sqrt();
        values.push((radius * turn.cos()) as f32);
        values.push((radius * turn.sin()) as f32);
    }
    values.truncate(len);
    values
}

/// Turns 16 uniform values in [0, 1) into normal ones: value `j` and value `j + 8` are a pair.
fn box_muller(block: &mut [f32]) {
    let (radii, turns) = block.split_at_mut(BLOCK / 2);
    for (a, b) in radii.iter_mut().zip(turns) {
        // The roundings to f32 are PyTorch's; between them f64 keeps the platform's maths library out of the result.
        let log = f64::from(1.0 - *a).ln() as f32;
        let radius = (-2.0 * log).sqrt();
        let (sin, cos) = f64::from(TAU as f32 * *b).sin_cos();
        *a = radius * cos as f32;
        *b = radius * sin as f32;
    }
}

/// The Mersenne Twister with 32-bit output.
struct Mt19937 {
    state: [u32; STATE],
    next: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [seed; STATE];
        for j in 1..STATE {
            let last = state[j - 1];
            state[j] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(j as u32);
        }
        Self { state, next: STATE }
    }

    fn refill(&mut self) {
        for j in 0..STATE {
            let word = (self.state[j] & 0x8000_0000) | (self.state[(j + 1) % STATE] & 0x7fff_ffff);
            let twist = if word & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[j] = self.state[(j + AHEAD) % STATE] ^ (word >> 1) ^ twist;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == STATE {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A multiple of 2^-24 in [0, 1).
    fn uniform(&mut self) -> f32 {
        (self.word() & 0x00ff_ffff) as f32 / (1_u32 << 24) as f32
    }

    /// A multiple of 2^-53 in [0, 1), from two words, the high one first.
    fn uniform_double(&mut self) -> f64 {
        let high = u64::from(self.word());
        let bits = (high << 32) | u64::from(self.word());
        (bits & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_mt19937() {
        // The C++ standard fixes the 10,000th word of a generator seeded with 5489.
        let mut words = Mt19937::new(5489);
        assert_eq!((0..10_000).map(|_| words.word()).last(), Some(4_123_659_995));
    }

    #[test]
    fn the_values_are_standard_normal_at_every_size() {
        assert!(randn(7, 0).is_empty());
        for len in [1, 15, 16, 17, 31, 1000] {
            let values = randn(7, len);
            assert_eq!(values.len(), len);
            assert!(values.iter().all(|v| v.is_finite() && v.abs() < 9.0));
        }
        let values = randn(7, 100_003);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 100_003.0;
        let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 100_003.0;
        assert!(mean.abs() < 0.015 && (square - 1.0).abs() < 0.02, "mean {mean}, mean square {square}");
    }

    #[test]
    fn only_the_low_half_of_a_seed_counts() {
        assert_eq!(randn(5, 20), randn((1 << 32) + 5, 20));
        assert_ne!(randn(5, 20), randn(6, 20));
    }
}
