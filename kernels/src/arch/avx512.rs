//! AVX-512 (F, BW, DQ, VL): Intel's servers since 2017, AMD since Zen 4 (2022).

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use super::prefetch::prefetch;
use crate::simd::{Kernel, LANES, Simd};

/// Token of AVX-512; made only by [`Avx512::new`], which looks whether the machine has it.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Sixteen lanes; made only by way of a token.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// Calls intrinsics that need nothing but the instructions.
macro_rules! intrinsics {
    ($($body:tt)*) => {
        // SAFETY: `Avx512` and `F32x16` values exist only where `Avx512::new` found the instructions; each pointer comes
        // from a reference to what the unaligned load or store moves: an array of that size, or a slice of as many
        // numbers as the mask has ones.
        unsafe { $($body)* }
    };
}

impl Avx512 {
    /// The token, if the machine has the instructions (the standard library remembers the answer).
    #[inline]
    pub(super) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        found.then_some(Self(()))
    }

    /// Compiles and runs the kernel with the token's instructions.
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn entry<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` proves the features.
        unsafe { entry(self, kernel) }
    }
}

impl Add for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_add_ps(self.0, other.0)))
    }
}

impl Sub for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_sub_ps(self.0, other.0)))
    }
}

impl Mul for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_mul_ps(self.0, other.0)))
    }
}

impl Div for F32x16 {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(intrinsics!(_mm512_div_ps(self.0, other.0)))
    }
}

/// The first `count` of sixteen lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    assert!(count <= LANES, "{count} numbers in a vector");
    ((1u32 << count) - 1) as __mmask16
}

impl Simd for Avx512 {
    type V = F32x16;
    // Twenty-four registers of sums, two of the right panel and one of the left.
    const TILE: [usize; 2] = [12, 2];
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn part<K: Kernel>(token: Avx512, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: `self` proves the features.
        unsafe { part(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F32x16 {
        F32x16(intrinsics!(_mm512_set1_ps(x)))
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> F32x16 {
        F32x16(intrinsics!(_mm512_loadu_ps(x.as_ptr())))
    }

    #[inline(always)]
    fn store(self, v: F32x16, out: &mut [f32; LANES]) {
        intrinsics!(_mm512_storeu_ps(out.as_mut_ptr(), v.0));
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> F32x16 {
        let mask = first(x.len());
        F32x16(intrinsics!(_mm512_maskz_loadu_ps(mask, x.as_ptr())))
    }

    #[inline(always)]
    fn store_partial(self, v: F32x16, out: &mut [f32]) {
        let mask = first(out.len());
        intrinsics!(_mm512_mask_storeu_ps(out.as_mut_ptr(), mask, v.0));
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8; 64]) -> F32x16 {
        F32x16(intrinsics!(_mm512_loadu_ps(x.as_ptr().cast())))
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8; 32]) -> F32x16 {
        F32x16(intrinsics!(_mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8; 32]) -> F32x16 {
        F32x16(intrinsics!({
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }))
    }

    #[inline(always)]
    fn fma(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        F32x16(intrinsics!(_mm512_fmadd_ps(a.0, b.0, c.0)))
    }

    #[inline(always)]
    fn neg_fma(self, a: F32x16, b: F32x16, c: F32x16) -> F32x16 {
        F32x16(intrinsics!(_mm512_fnmadd_ps(a.0, b.0, c.0)))
    }

    #[inline(always)]
    fn min(self, a: F32x16, b: F32x16) -> F32x16 {
        F32x16(intrinsics!(_mm512_min_ps(a.0, b.0)))
    }

    #[inline(always)]
    fn max(self, a: F32x16, b: F32x16) -> F32x16 {
        F32x16(intrinsics!(_mm512_max_ps(a.0, b.0)))
    }

    #[inline(always)]
    fn round(self, a: F32x16) -> F32x16 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        F32x16(intrinsics!(_mm512_roundscale_ps::<NEAREST>(a.0)))
    }

    #[inline(always)]
    fn scale(self, a: F32x16, n: F32x16) -> F32x16 {
        F32x16(intrinsics!(_mm512_scalef_ps(a.0, n.0)))
    }

    #[inline(always)]
    fn swap_pairs(self, a: F32x16) -> F32x16 {
        F32x16(intrinsics!(_mm512_permute_ps::<0b10_11_00_01>(a.0)))
    }

    #[inline(always)]
    fn sum(self, v: F32x16) -> f32 {
        intrinsics!({
            let eight = _mm256_add_ps(_mm512_castps512_ps256(v.0), _mm512_extractf32x8_ps::<1>(v.0));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn max_lane(self, v: F32x16) -> f32 {
        intrinsics!({
            let eight = _mm256_max_ps(_mm512_castps512_ps256(v.0), _mm512_extractf32x8_ps::<1>(v.0));
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn transpose(self, rows: [F32x16; LANES]) -> [F32x16; LANES] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = rows;
        // Four rows become columns within each quarter of the lanes, then the quarters change places.
        let (one, two) = (transpose_quarters(a, b, c, d), transpose_quarters(e, f, g, h));
        let (three, four) = (transpose_quarters(i, j, k, l), transpose_quarters(m, n, o, p));
        let mut columns = rows;
        for i in 0..4 {
            intrinsics!({
                let even_upper = _mm512_shuffle_f32x4::<0b10_00_10_00>(one[i], two[i]);
                let odd_upper = _mm512_shuffle_f32x4::<0b11_01_11_01>(one[i], two[i]);
                let even_lower = _mm512_shuffle_f32x4::<0b10_00_10_00>(three[i], four[i]);
                let odd_lower = _mm512_shuffle_f32x4::<0b11_01_11_01>(three[i], four[i]);
                columns[i] = F32x16(_mm512_shuffle_f32x4::<0b10_00_10_00>(even_upper, even_lower));
                columns[i + 4] = F32x16(_mm512_shuffle_f32x4::<0b10_00_10_00>(odd_upper, odd_lower));
                columns[i + 8] = F32x16(_mm512_shuffle_f32x4::<0b11_01_11_01>(even_upper, even_lower));
                columns[i + 12] = F32x16(_mm512_shuffle_f32x4::<0b11_01_11_01>(odd_upper, odd_lower));
            });
        }
        columns
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], at: usize) {
        prefetch(x, at);
    }
}

/// The columns of four rows, four lanes for each quarter of the rows: result `i` holds columns `i`, `i + 4`, ..
#[inline(always)]
fn transpose_quarters(a: F32x16, b: F32x16, c: F32x16, d: F32x16) -> [__m512; 4] {
    intrinsics!({
        let (ab, ab_) = (_mm512_unpacklo_ps(a.0, b.0), _mm512_unpackhi_ps(a.0, b.0));
        let (cd, cd_) = (_mm512_unpacklo_ps(c.0, d.0), _mm512_unpackhi_ps(c.0, d.0));
        [
            _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
            _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
            _mm512_shuffle_ps::<0b01_00_01_00>(ab_, cd_),
            _mm512_shuffle_ps::<0b11_10_11_10>(ab_, cd_),
        ]
    })
}
