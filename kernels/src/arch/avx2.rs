//! AVX2 with FMA and F16C: every x86-64 since 2013 (Intel) and 2015 (AMD).

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::prefetch::prefetch;
use crate::simd::{Kernel, LANES, Simd};

/// Token of AVX2, FMA and F16C; made only by [`Avx2::new`], which looks whether the machine has them.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Sixteen lanes, eight to a register; made only by way of a token.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m256, __m256);

/// Calls intrinsics that need nothing but the instructions.
macro_rules! intrinsics {
    ($($body:tt)*) => {
        // SAFETY: `Avx2` and `F32x16` values exist only where `Avx2::new` found AVX2, FMA and F16C; each pointer comes
        // from a reference to an array that holds what the unaligned loads or stores move.
        unsafe { $($body)* }
    };
}

impl Avx2 {
    /// The token, if the machine has the instructions (the standard library remembers the answer).
    #[inline]
    pub(super) fn new() -> Option<Self> {
        let found =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }

    /// Compiles and runs the kernel with the token's instructions.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn entry<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` proves the features.
        unsafe { entry(self, kernel) }
    }
}

/// An operation on both registers.
macro_rules! both {
    ($intrinsic:ident, $($x:expr),+) => {
        F32x16(intrinsics!($intrinsic($($x.0),+)), intrinsics!($intrinsic($($x.1),+)))
    };
}

impl Add for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        both!(_mm256_add_ps, self, other)
    }
}

impl Sub for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        both!(_mm256_sub_ps, self, other)
    }
}

impl Mul for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        both!(_mm256_mul_ps, self, other)
    }
}

impl Div for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        both!(_mm256_div_ps, self, other)
    }
}

impl Simd for Avx2 {
    type V = F32x16;
    // Twelve registers of sums, two of the right panel and one of the left.
    const TILE: [usize; 2] = [6, 1];
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn part<K: Kernel>(token: Avx2, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` proves the features.
        unsafe { part(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32x16 {
        let x = intrinsics!(_mm256_set1_ps(x));
        F32x16(x, x)
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> F32x16 {
        let x = x.as_ptr();
        intrinsics!(F32x16(_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(8))))
    }

    #[inline(always)]
    fn store(self, v: F32x16, out: &mut [f32; LANES]) {
        let out = out.as_mut_ptr();
        intrinsics!({
            _mm256_storeu_ps(out, v.0);
            _mm256_storeu_ps(out.add(8), v.1);
        });
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8; 64]) -> F32x16 {
        let x: *const f32 = x.as_ptr().cast();
        intrinsics!(F32x16(_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(8))))
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8; 32]) -> F32x16 {
        let x: *const __m128i = x.as_ptr().cast();
        intrinsics!(F32x16(_mm256_cvtph_ps(_mm_loadu_si128(x)), _mm256_cvtph_ps(_mm_loadu_si128(x.add(1)))))
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8; 32]) -> F32x16 {
        let x: *const __m128i = x.as_ptr().cast();
        intrinsics!({
            let low = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(x)));
            let high = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(x.add(1))));
            F32x16(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        })
    }

    #[inline(always)]
    fn fma(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        both!(_mm256_fmadd_ps, a, b, c)
    }

    #[inline(always)]
    fn neg_fma(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        both!(_mm256_fnmadd_ps, a, b, c)
    }

    #[inline(always)]
    fn min(self, a: F32x16, b: F32x16) -> F32x16 {
        both!(_mm256_min_ps, a, b)
    }

    #[inline(always)]
    fn max(self, a: F32x16, b: F32x16) -> F32x16 {
        both!(_mm256_max_ps, a, b)
    }

    #[inline(always)]
    fn round(self, a: F32x16) -> F32x16 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        intrinsics!(F32x16(_mm256_round_ps::<NEAREST>(a.0), _mm256_round_ps::<NEAREST>(a.1)))
    }

    #[inline(always)]
    fn scale(self, a: F32x16, n: F32x16) -> F32x16 {
        // An exponent of -127 means zero.
        a * pow2(self, self.max(n, self.splat(-127.0)))
    }

    #[inline(always)]
    fn swap_pairs(self, a: F32x16) -> F32x16 {
        intrinsics!(F32x16(_mm256_permute_ps::<0b10_11_00_01>(a.0), _mm256_permute_ps::<0b10_11_00_01>(a.1)))
    }

    #[inline(always)]
    fn transpose(self, rows: [F32x16; LANES]) -> [F32x16; LANES] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = rows;
        let upper_left = transpose([a.0, b.0, c.0, d.0, e.0, f.0, g.0, h.0]);
        let upper_right = transpose([a.1, b.1, c.1, d.1, e.1, f.1, g.1, h.1]);
        let lower_left = transpose([i.0, j.0, k.0, l.0, m.0, n.0, o.0, p.0]);
        let lower_right = transpose([i.1, j.1, k.1, l.1, m.1, n.1, o.1, p.1]);
        let mut columns = rows;
        for i in 0..8 {
            columns[i] = F32x16(upper_left[i], lower_left[i]);
            columns[i + 8] = F32x16(upper_right[i], lower_right[i]);
        }
        columns
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], at: usize) {
        prefetch(x, at);
    }
}

/// `2^n` by exponent bits, of integers in `-126..=127`; 0 of -127, infinite of 128.
#[inline(always)]
fn pow2(s: Avx2, n: F32x16) -> F32x16 {
    // 1.5 * 2^23 + 127 leaves the biased exponent in the low bits of the sum.
    let sum = n + s.splat(12_582_912.0 + 127.0);
    intrinsics!({
        let (low, high) = (_mm256_castps_si256(sum.0), _mm256_castps_si256(sum.1));
        F32x16(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<23>(high)))
    })
}

/// The columns of eight rows.
#[inline(always)]
fn transpose(rows: [__m256; 8]) -> [__m256; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Four rows become columns within each half of the lanes, then the halves change places.
    let (upper, lower) = (transpose_halves(a, b, c, d), transpose_halves(e, f, g, h));
    intrinsics!({
        [
            _mm256_permute2f128_ps::<0x20>(upper[0], lower[0]),
            _mm256_permute2f128_ps::<0x20>(upper[1], lower[1]),
            _mm256_permute2f128_ps::<0x20>(upper[2], lower[2]),
            _mm256_permute2f128_ps::<0x20>(upper[3], lower[3]),
            _mm256_permute2f128_ps::<0x31>(upper[0], lower[0]),
            _mm256_permute2f128_ps::<0x31>(upper[1], lower[1]),
            _mm256_permute2f128_ps::<0x31>(upper[2], lower[2]),
            _mm256_permute2f128_ps::<0x31>(upper[3], lower[3]),
        ]
    })
}

/// The columns of four rows, for the lower four lanes and, beside them, for the upper four.
#[inline(always)]
fn transpose_halves(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; 4] {
    intrinsics!({
        let (ab, ab_) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd, cd_) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
            _mm256_shuffle_ps::<0b01_00_01_00>(ab_, cd_),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab_, cd_),
        ]
    })
}
