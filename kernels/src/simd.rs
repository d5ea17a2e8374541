//! The vocabulary of every kernel: eight `f32` lanes, written once and compiled once per instruction set.

use std::ops::{Add, Div, Mul, Sub};

/// Lanes of a vector, the same at every level.
pub(crate) const LANES: usize = 8;

/// A set of vector instructions: a value of the type is the proof that this machine has them.
///
/// Everything is `#[inline(always)]`: the instructions are chosen by the `#[target_feature]` entry of [`crate::arch`]
/// into which a kernel's body is inlined, and a body that escaped it would be correct but slow. So in hot code vectors
/// go through loops, not through `array::map` or `array::from_fn`, whose closures need not be inlined; and no closure
/// that runs on another thread may carry a token: dispatch again inside the task.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Eight lanes.
    type V: Copy
        + Add<Self::V, Output = Self::V>
        + Sub<Self::V, Output = Self::V>
        + Mul<Self::V, Output = Self::V>
        + Div<Self::V, Output = Self::V>;

    /// Whether fifteen vectors fit the registers: the sums of a tile and what it multiplies.
    const WHOLE_TILE: bool;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Eight numbers from memory.
    fn load(self, x: &[f32; 8]) -> Self::V;
    /// Eight numbers to memory.
    fn store(self, v: Self::V, out: &mut [f32; 8]);
    /// Eight little-endian `f32` at any alignment.
    fn load_f32_bytes(self, x: &[u8; 32]) -> Self::V;
    /// Eight little-endian `f16` at any alignment, widened (exact).
    fn load_f16_bytes(self, x: &[u8; 16]) -> Self::V;
    /// Eight little-endian `bf16` at any alignment, widened (exact).
    fn load_bf16_bytes(self, x: &[u8; 16]) -> Self::V;
    /// `a * b + c`, rounded once where the machine can and twice where it cannot.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`, rounded as [`Simd::fma`].
    fn neg_fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `if a < b { a } else { b }`: `b` when either is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `if a > b { a } else { b }`: `b` when either is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` of lanes that hold integers in `-126..=127`, by exponent bits; anything else gives unspecified lanes.
    fn pow2(self, n: Self::V) -> Self::V;
    /// Each pair's lanes exchanged: `[a1, a0, a3, a2, ..]`.
    fn swap_pairs(self, a: Self::V) -> Self::V;
    /// Lane `j` of result `i` is lane `i` of input `j`.
    fn transpose(self, rows: [Self::V; 8]) -> [Self::V; 8];
    /// Asks for the cache line of `x[at]` ahead of its use; an index outside asks for nothing that exists.
    fn prefetch<T>(self, x: &[T], at: usize);

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, v: Self::V) -> [f32; 8] {
        let mut out = [0.0; 8];
        self.store(v, &mut out);
        out
    }

    /// The first lanes from `x` (at most eight), the others zero.
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> Self::V {
        let mut lanes = [0.0; 8];
        lanes[..x.len()].copy_from_slice(x);
        self.load(&lanes)
    }

    /// As many lanes as `out` holds (at most eight).
    #[inline(always)]
    fn store_partial(self, v: Self::V, out: &mut [f32]) {
        out.copy_from_slice(&self.to_array(v)[..out.len()]);
    }

    /// The sum of all lanes, pairwise: the same order at every level.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let [a, b, c, d, e, f, g, h] = self.to_array(v);
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

/// A kernel's body, generic over the instructions that it will be compiled for.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// The body; mark every implementation, and all that it calls, `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::arch::dispatch;

    struct Vocabulary;

    impl Kernel for Vocabulary {
        type Output = ();

        fn run<S: Simd>(self, s: S) {
            let a = [1.5, -2.5, 3.25, -0.0, 5.0, 1e-3, 7.5, -8.0];
            let b = [2.0, 0.5, -3.0, 4.0, -5.5, 6.0, 0.25, 8.0];
            let (va, vb) = (s.load(&a), s.load(&b));
            let zip = |f: fn(f32, f32) -> f32| std::array::from_fn::<f32, 8, _>(|i| f(a[i], b[i]));
            assert_eq!(s.to_array(va + vb), zip(|a, b| a + b));
            assert_eq!(s.to_array(va - vb), zip(|a, b| a - b));
            assert_eq!(s.to_array(va * vb), zip(|a, b| a * b));
            assert_eq!(s.to_array(va / vb), zip(|a, b| a / b));
            assert_eq!(s.to_array(s.min(va, vb)), zip(f32::min));
            assert_eq!(s.to_array(s.max(va, vb)), zip(f32::max));
            assert_eq!(s.to_array(s.round(va)), a.map(f32::round_ties_even));
            let near = |got: [f32; 8], want: [f32; 8]| (0..8).all(|i| (got[i] - want[i]).abs() <= 1e-6 * want[i].abs());
            assert!(near(s.to_array(s.fma(va, vb, vb)), zip(|a, b| a.mul_add(b, b))));
            assert!(near(s.to_array(s.neg_fma(va, vb, vb)), zip(|a, b| (-a).mul_add(b, b))));
            assert_eq!(s.to_array(s.swap_pairs(va)), [a[1], a[0], a[3], a[2], a[5], a[4], a[7], a[6]]);
            let exponents = [-126.0, -1.0, 0.0, 1.0, 23.0, 64.0, 126.0, 127.0];
            assert_eq!(s.to_array(s.pow2(s.load(&exponents))), exponents.map(|n| n.exp2()));
            assert_eq!(s.sum(va), a.iter().sum::<f32>());
            let rows: [[f32; 8]; 8] = std::array::from_fn(|i| std::array::from_fn(|j| (8 * i + j) as f32));
            let columns = s.transpose(rows.map(|r| s.load(&r))).map(|v| s.to_array(v));
            for (i, column) in columns.iter().enumerate() {
                for (j, x) in column.iter().enumerate() {
                    assert_eq!(*x, rows[j][i]);
                }
            }
            assert_eq!(s.to_array(s.load_partial(&a[..3])), [1.5, -2.5, 3.25, 0.0, 0.0, 0.0, 0.0, 0.0]);
            let mut out = [9.0; 3];
            s.store_partial(vb, &mut out);
            assert_eq!(out, b[..3]);
            let nan = s.splat(f32::NAN);
            assert_eq!(s.to_array(s.min(nan, vb)), b);
            assert_eq!(s.to_array(s.max(nan, vb)), b);
            assert!(s.to_array(s.min(vb, nan)).iter().chain(&s.to_array(s.max(vb, nan))).all(|x| x.is_nan()));
            s.prefetch(&a, 3);
            s.prefetch(&a, 1 << 40);
        }
    }

    #[test]
    fn every_backend_means_the_same() {
        for &level in Level::available() {
            dispatch(level, Vocabulary);
        }
    }

    struct Widen;

    impl Kernel for Widen {
        type Output = ();

        fn run<S: Simd>(self, s: S) {
            // Every half-precision bit pattern, and every bfloat16 one.
            for base in (0..=u16::MAX).step_by(8) {
                let patterns: [u16; 8] = std::array::from_fn(|i| base + i as u16);
                let mut bytes = [0; 16];
                for (b, p) in bytes.chunks_exact_mut(2).zip(patterns) {
                    b.copy_from_slice(&p.to_le_bytes());
                }
                let same = |got: [f32; 8], want: [f32; 8]| {
                    got.iter().zip(&want).all(|(g, w)| g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan()))
                };
                assert!(same(s.to_array(s.load_f16_bytes(&bytes)), patterns.map(|p| half::f16::from_bits(p).to_f32())));
                assert!(same(
                    s.to_array(s.load_bf16_bytes(&bytes)),
                    patterns.map(|p| half::bf16::from_bits(p).to_f32())
                ));
            }
        }
    }

    #[test]
    fn widening_is_exact_for_every_pattern() {
        for &level in Level::available() {
            dispatch(level, Widen);
        }
    }
}
