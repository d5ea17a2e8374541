//! The vocabulary of every kernel: sixteen `f32` lanes, written once and compiled once per instruction set.

use std::ops::{Add, Div, Mul, Sub};

/// Lanes of a vector, the same at every level: one register of AVX-512, two of AVX2, four of SSE2 and NEON.
pub(crate) const LANES: usize = 16;

/// A set of vector instructions: a value of the type is the proof that this machine has them.
///
/// Everything is `#[inline(always)]`: the instructions are chosen by the `#[target_feature]` entry of [`crate::arch`]
/// into which a kernel's body is inlined, and a body that escaped it would be correct but slow. So in hot code vectors
/// go through loops, not through `array::map` or `array::from_fn`, whose closures need not be inlined; and no closure
/// that runs on another thread may carry a token: dispatch again inside the task.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen lanes.
    type V: Copy
        + Add<Self::V, Output = Self::V>
        + Sub<Self::V, Output = Self::V>
        + Mul<Self::V, Output = Self::V>
        + Div<Self::V, Output = Self::V>;

    /// The register tile: rows, at most [`MOST_ROWS`], and vectors of each, at most [`MOST_VECTORS`].
    const TILE: [usize; 2];

    /// Vectors that the registers hold.
    const REGISTERS: usize;

    /// Runs a part of a kernel as a function of its own with the same instructions.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Sixteen numbers from memory.
    fn load(self, x: &[f32; LANES]) -> Self::V;
    /// Sixteen numbers to memory.
    fn store(self, v: Self::V, out: &mut [f32; LANES]);
    /// Sixteen little-endian `f32` at any alignment.
    fn load_f32_bytes(self, x: &[u8; 64]) -> Self::V;
    /// Sixteen little-endian `f16` at any alignment, widened (exact).
    fn load_f16_bytes(self, x: &[u8; 32]) -> Self::V;
    /// Sixteen little-endian `bf16` at any alignment, widened (exact).
    fn load_bf16_bytes(self, x: &[u8; 32]) -> Self::V;
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
    /// `a * 2^n` of integers `n` up to 127, and so or infinite of 128; results below the normal range may be 0.
    fn scale(self, a: Self::V, n: Self::V) -> Self::V;
    /// Each pair's lanes exchanged: `[a1, a0, a3, a2, ..]`.
    fn swap_pairs(self, a: Self::V) -> Self::V;
    /// Lane `j` of result `i` is lane `i` of input `j`.
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES];
    /// Asks for the cache line of `x[at]` ahead of its use; an index outside asks for nothing that exists.
    fn prefetch<T>(self, x: &[T], at: usize);

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, v: Self::V) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        self.store(v, &mut out);
        out
    }

    /// The first lanes from `x` (at most sixteen), the others zero.
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> Self::V {
        let mut lanes = [0.0; LANES];
        lanes[..x.len()].copy_from_slice(x);
        self.load(&lanes)
    }

    /// As many lanes as `out` holds (at most sixteen).
    #[inline(always)]
    fn store_partial(self, v: Self::V, out: &mut [f32]) {
        out.copy_from_slice(&self.to_array(v)[..out.len()]);
    }

    /// The sum of all lanes, pairwise: the same order at every level.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut lanes = self.to_array(v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        lanes[0]
    }

    /// The greatest lane; unspecified if one is not a number.
    #[inline(always)]
    fn max_lane(self, v: Self::V) -> f32 {
        let mut lanes = self.to_array(v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] = if lanes[i] > lanes[i + half] { lanes[i] } else { lanes[i + half] };
            }
        }
        lanes[0]
    }

    /// Adds the product of two packed panels to a tile's sums.
    #[inline(always)]
    fn multiply<const M: usize, const N: usize>(
        self,
        left: &[LeftChunk<M>],
        right: &[RightChunk<N>],
        sums: [[Self::V; N]; M],
    ) -> [[Self::V; N]; M] {
        multiply(self, left, right, sums)
    }
}

/// Rows of a register tile at any level.
pub(crate) const MOST_ROWS: usize = 12;
/// Vectors of a register tile's row at any level.
pub(crate) const MOST_VECTORS: usize = 2;

/// Sixteen terms of a sum, of the rows of a tile.
pub(crate) type LeftChunk<const M: usize> = [[f32; LANES]; M];
/// Sixteen terms of a sum, each with its numbers of a tile's columns.
pub(crate) type RightChunk<const N: usize> = [[[f32; LANES]; N]; LANES];

/// [`Simd::multiply`] where all sums fit the registers.
#[inline(always)]
pub(crate) fn multiply<S: Simd, const M: usize, const N: usize>(
    s: S,
    left: &[LeftChunk<M>],
    right: &[RightChunk<N>],
    mut sums: [[S::V; N]; M],
) -> [[S::V; N]; M] {
    for (left, right) in left.iter().zip(right) {
        for (p, right) in right.iter().enumerate() {
            let mut b = [s.zero(); N];
            for (b, right) in b.iter_mut().zip(right) {
                *b = s.load(right);
            }
            for (sums, left) in sums.iter_mut().zip(left) {
                let a = s.splat(left[p]);
                for (sum, &b) in sums.iter_mut().zip(&b) {
                    *sum = s.fma(a, b, *sum);
                }
            }
        }
    }
    sums
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
            let a = [1.5, -2.5, 3.25, -0.0, 5.0, 1e-3, 7.5, -8.0, 0.5, 3.5, -1e6, 9.0, -7.25, 6.5, 1e-4, 2.0];
            let b = [2.0, 0.5, -3.0, 4.0, -5.5, 6.0, 0.25, 8.0, -1.5, 7.0, 1e5, -9.5, 3.0, 6.25, -2.0, 0.125];
            let (va, vb) = (s.load(&a), s.load(&b));
            let zip = |f: fn(f32, f32) -> f32| std::array::from_fn::<f32, LANES, _>(|i| f(a[i], b[i]));
            assert_eq!(s.to_array(va + vb), zip(|a, b| a + b));
            assert_eq!(s.to_array(va - vb), zip(|a, b| a - b));
            assert_eq!(s.to_array(va * vb), zip(|a, b| a * b));
            assert_eq!(s.to_array(va / vb), zip(|a, b| a / b));
            assert_eq!(s.to_array(s.min(va, vb)), zip(f32::min));
            assert_eq!(s.to_array(s.max(va, vb)), zip(f32::max));
            assert_eq!(s.to_array(s.round(va)), a.map(f32::round_ties_even));
            let near = |got: [f32; LANES], want: [f32; LANES]| {
                (0..LANES).all(|i| (got[i] - want[i]).abs() <= 1e-6 * want[i].abs())
            };
            assert!(near(s.to_array(s.fma(va, vb, vb)), zip(|a, b| a.mul_add(b, b))));
            assert!(near(s.to_array(s.neg_fma(va, vb, vb)), zip(|a, b| (-a).mul_add(b, b))));
            assert_eq!(s.to_array(s.swap_pairs(va)), std::array::from_fn(|i| a[i ^ 1]));
            let exponents =
                [-126.0, -1.0, 0.0, 1.0, 23.0, 64.0, 126.0, 127.0, -60.0, 2.0, -127.0, -149.0, -2.0, 3.0, 7.0, 5.0];
            for (n, got) in exponents.iter().zip(s.to_array(s.scale(s.splat(1.5), s.load(&exponents)))) {
                let want = (1.5 * f64::from(*n).exp2()) as f32;
                assert!(got == want || (*n < -126.0 && got == 0.0), "2^{n}: {got}");
            }
            assert!(s.to_array(s.scale(s.splat(0.75), s.splat(128.0))).iter().all(|&x| x >= f32::MAX * 0.75));
            assert_eq!(s.to_array(s.scale(s.splat(1.5), s.splat(-1e30))), [0.0; LANES]);
            assert_eq!(s.max_lane(va), 9.0);
            assert!((s.sum(va) - a.iter().sum::<f32>()).abs() <= 0.1);
            assert_eq!(s.sum(s.load(&std::array::from_fn(|i| (1 << i) as f32))), 65535.0);
            let rows: [[f32; LANES]; LANES] = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as f32));
            let columns = s.transpose(rows.map(|r| s.load(&r))).map(|v| s.to_array(v));
            for (i, column) in columns.iter().enumerate() {
                for (j, x) in column.iter().enumerate() {
                    assert_eq!(*x, rows[j][i]);
                }
            }
            for count in 0..=LANES {
                let first = s.to_array(s.load_partial(&a[..count]));
                assert_eq!(first, std::array::from_fn(|i| if i < count { a[i] } else { 0.0 }));
                let mut out = [9.0; LANES + 1];
                s.store_partial(vb, &mut out[..count]);
                assert_eq!((&out[..count], &out[count..]), (&b[..count], &[9.0; LANES + 1][count..]));
            }
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
            for base in (0..=u16::MAX).step_by(LANES) {
                let patterns: [u16; LANES] = std::array::from_fn(|i| base + i as u16);
                let mut bytes = [0; 2 * LANES];
                for (b, p) in bytes.chunks_exact_mut(2).zip(patterns) {
                    b.copy_from_slice(&p.to_le_bytes());
                }
                let same = |got: [f32; LANES], want: [f32; LANES]| {
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
