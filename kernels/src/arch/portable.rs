//! The backend that runs everywhere: `wide`, which compiles to what the build's target has (SSE2, NEON, SIMD128).

use wide::{f32x8, u32x8};

use super::prefetch::prefetch;
use crate::simd::Simd;

/// Token of the instructions that the whole build may use.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type V = f32x8;
    // A vector takes two of the sixteen registers of SSE2, two of the thirty-two of NEON.
    const WHOLE_TILE: bool = cfg!(any(target_arch = "aarch64", target_feature = "avx"));

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }

    #[inline(always)]
    fn load(self, x: &[f32; 8]) -> f32x8 {
        f32x8::new(*x)
    }

    #[inline(always)]
    fn store(self, v: f32x8, out: &mut [f32; 8]) {
        *out = v.to_array();
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8; 32]) -> f32x8 {
        let (x, _) = x.as_chunks::<4>();
        f32x8::new(std::array::from_fn(|i| f32::from_le_bytes(x[i])))
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8; 16]) -> f32x8 {
        let (x, _) = x.as_chunks::<2>();
        let bits = u32x8::new(std::array::from_fn(|i| u32::from(u16::from_le_bytes(x[i]))));
        let magnitude: u32x8 = (bits & u32x8::splat(0x7fff)) << 13_u32;
        // The exponents' biases differ by 112; the product also brings subnormal numbers to their places.
        let number: f32x8 = bytemuck::cast(magnitude);
        let number: u32x8 = bytemuck::cast(number * f32x8::splat(f32::from_bits((127 + 112) << 23)));
        let special = magnitude.simd_gt(u32x8::splat((0x7c00 << 13) - 1)) & u32x8::splat(0x7f80_0000);
        bytemuck::cast(number | special | ((bits & u32x8::splat(0x8000)) << 16_u32))
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8; 16]) -> f32x8 {
        let (x, _) = x.as_chunks::<2>();
        f32x8::new(std::array::from_fn(|i| f32::from_bits(u32::from(u16::from_le_bytes(x[i])) << 16_u32)))
    }

    #[inline(always)]
    fn fma(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn neg_fma(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_neg_add(b, c)
    }

    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        // Not `fast_min`: what it makes of a NaN differs between targets.
        a.simd_lt(b).bitselect(a, b)
    }

    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b).bitselect(a, b)
    }

    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        a.round_ties_even()
    }

    #[inline(always)]
    fn pow2(self, n: f32x8) -> f32x8 {
        // 1.5 * 2^23 + 127 leaves the biased exponent in the low bits of the sum.
        let bits: u32x8 = bytemuck::cast(n + f32x8::splat(12_582_912.0 + 127.0));
        bytemuck::cast(bits << 23_u32)
    }

    #[inline(always)]
    fn swap_pairs(self, a: f32x8) -> f32x8 {
        let a = a.to_array();
        f32x8::new(std::array::from_fn(|i| a[i ^ 1]))
    }

    #[inline(always)]
    fn transpose(self, rows: [f32x8; 8]) -> [f32x8; 8] {
        f32x8::transpose(rows)
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], at: usize) {
        prefetch(x, at);
    }
}
