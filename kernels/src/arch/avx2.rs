//! AVX2 with FMA and F16C: every x86-64 since 2013 (Intel) and 2015 (AMD).

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::prefetch::prefetch;
use crate::simd::{Kernel, Simd};

/// Token of AVX2, FMA and F16C; made only by [`Avx2::new`], which looks whether the machine has them.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Eight lanes; made only by way of a token.
#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

/// Calls intrinsics that need nothing but the instructions.
macro_rules! intrinsics {
    ($($body:tt)*) => {
        // SAFETY: `Avx2` and `F32x8` values exist only where `Avx2::new` found AVX2, FMA and F16C; each pointer comes
        // from a reference to an array of the size that the unaligned load or store moves.
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

impl Add for F32x8 {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsics!(_mm256_add_ps(self.0, other.0)))
    }
}

impl Sub for F32x8 {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsics!(_mm256_sub_ps(self.0, other.0)))
    }
}

impl Mul for F32x8 {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(intrinsics!(_mm256_mul_ps(self.0, other.0)))
    }
}

impl Div for F32x8 {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(intrinsics!(_mm256_div_ps(self.0, other.0)))
    }
}

impl Simd for Avx2 {
    type V = F32x8;
    const WHOLE_TILE: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> F32x8 {
        F32x8(intrinsics!(_mm256_set1_ps(x)))
    }

    #[inline(always)]
    fn load(self, x: &[f32; 8]) -> F32x8 {
        F32x8(intrinsics!(_mm256_loadu_ps(x.as_ptr())))
    }

    #[inline(always)]
    fn store(self, v: F32x8, out: &mut [f32; 8]) {
        intrinsics!(_mm256_storeu_ps(out.as_mut_ptr(), v.0));
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8; 32]) -> F32x8 {
        F32x8(intrinsics!(_mm256_loadu_ps(x.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8; 16]) -> F32x8 {
        F32x8(intrinsics!(_mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8; 16]) -> F32x8 {
        F32x8(intrinsics!({
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(x.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }))
    }

    #[inline(always)]
    fn fma(self, a: F32x8, b: F32x8, c: F32x8) -> F32x8 {
        F32x8(intrinsics!(_mm256_fmadd_ps(a.0, b.0, c.0)))
    }

    #[inline(always)]
    fn neg_fma(self, a: F32x8, b: F32x8, c: F32x8) -> F32x8 {
        F32x8(intrinsics!(_mm256_fnmadd_ps(a.0, b.0, c.0)))
    }

    #[inline(always)]
    fn min(self, a: F32x8, b: F32x8) -> F32x8 {
        F32x8(intrinsics!(_mm256_min_ps(a.0, b.0)))
    }

    #[inline(always)]
    fn max(self, a: F32x8, b: F32x8) -> F32x8 {
        F32x8(intrinsics!(_mm256_max_ps(a.0, b.0)))
    }

    #[inline(always)]
    fn round(self, a: F32x8) -> F32x8 {
        F32x8(intrinsics!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a.0)))
    }

    #[inline(always)]
    fn pow2(self, n: F32x8) -> F32x8 {
        F32x8(intrinsics!({
            // 1.5 * 2^23 + 127 leaves the biased exponent in the low bits of the sum.
            let bits = _mm256_castps_si256(_mm256_add_ps(n.0, _mm256_set1_ps(12_582_912.0 + 127.0)));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits))
        }))
    }

    #[inline(always)]
    fn swap_pairs(self, a: F32x8) -> F32x8 {
        F32x8(intrinsics!(_mm256_permute_ps::<0b10_11_00_01>(a.0)))
    }

    #[inline(always)]
    fn transpose(self, rows: [F32x8; 8]) -> [F32x8; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        // Four rows become columns within each half of the lanes, then the halves change places.
        let (upper, lower) = (transpose_halves(a, b, c, d), transpose_halves(e, f, g, h));
        intrinsics!({
            [
                F32x8(_mm256_permute2f128_ps::<0x20>(upper[0], lower[0])),
                F32x8(_mm256_permute2f128_ps::<0x20>(upper[1], lower[1])),
                F32x8(_mm256_permute2f128_ps::<0x20>(upper[2], lower[2])),
                F32x8(_mm256_permute2f128_ps::<0x20>(upper[3], lower[3])),
                F32x8(_mm256_permute2f128_ps::<0x31>(upper[0], lower[0])),
                F32x8(_mm256_permute2f128_ps::<0x31>(upper[1], lower[1])),
                F32x8(_mm256_permute2f128_ps::<0x31>(upper[2], lower[2])),
                F32x8(_mm256_permute2f128_ps::<0x31>(upper[3], lower[3])),
            ]
        })
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], at: usize) {
        prefetch(x, at);
    }
}

/// The columns of four rows, for the lower four lanes and, beside them, for the upper four.
#[inline(always)]
fn transpose_halves(a: F32x8, b: F32x8, c: F32x8, d: F32x8) -> [__m256; 4] {
    intrinsics!({
        let (ab, ab_) = (_mm256_unpacklo_ps(a.0, b.0), _mm256_unpackhi_ps(a.0, b.0));
        let (cd, cd_) = (_mm256_unpacklo_ps(c.0, d.0), _mm256_unpackhi_ps(c.0, d.0));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
            _mm256_shuffle_ps::<0b01_00_01_00>(ab_, cd_),
            _mm256_shuffle_ps::<0b11_10_11_10>(ab_, cd_),
        ]
    })
}
