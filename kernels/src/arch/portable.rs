//! The backend that runs everywhere: `wide`, which compiles to what the build's target has (SSE2, NEON, SIMD128).

use wide::{f32x8, f32x16, u32x16};

use super::prefetch::prefetch;
use crate::simd::{Kernel, LANES, LeftChunk, RightChunk, Simd, multiply};

/// Token of the instructions that the whole build may use.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Whether the sums of a whole tile fit the registers, of which a vector takes four: NEON has thirty-two, SSE2 sixteen.
const WHOLE_TILE: bool = cfg!(any(target_arch = "aarch64", target_feature = "avx"));

impl Simd for Portable {
    type V = f32x16;
    const TILE: [usize; 2] = [6, 1];
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        fn part<K: Kernel>(token: Portable, kernel: K) -> K::Output {
            kernel.run(token)
        }
        part(self, kernel)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x16 {
        f32x16::splat(x)
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> f32x16 {
        f32x16::new(*x)
    }

    #[inline(always)]
    fn store(self, v: f32x16, out: &mut [f32; LANES]) {
        *out = v.to_array();
    }

    #[inline(always)]
    fn load_f32_bytes(self, x: &[u8; 64]) -> f32x16 {
        let (x, _) = x.as_chunks::<4>();
        f32x16::new(std::array::from_fn(|i| f32::from_le_bytes(x[i])))
    }

    #[inline(always)]
    fn load_f16_bytes(self, x: &[u8; 32]) -> f32x16 {
        let (x, _) = x.as_chunks::<2>();
        let bits = u32x16::new(std::array::from_fn(|i| u32::from(u16::from_le_bytes(x[i]))));
        let magnitude: u32x16 = (bits & u32x16::splat(0x7fff)) << 13_u32;
        // The exponents' biases differ by 112; the product also brings subnormal numbers to their places.
        let number: f32x16 = bytemuck::cast(magnitude);
        let number: u32x16 = bytemuck::cast(number * f32x16::splat(f32::from_bits((127 + 112) << 23)));
        let special = magnitude.simd_gt(u32x16::splat((0x7c00 << 13) - 1)) & u32x16::splat(0x7f80_0000);
        bytemuck::cast(number | special | ((bits & u32x16::splat(0x8000)) << 16_u32))
    }

    #[inline(always)]
    fn load_bf16_bytes(self, x: &[u8; 32]) -> f32x16 {
        let (x, _) = x.as_chunks::<2>();
        f32x16::new(std::array::from_fn(|i| f32::from_bits(u32::from(u16::from_le_bytes(x[i])) << 16_u32)))
    }

    #[inline(always)]
    fn fma(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn neg_fma(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        a.mul_neg_add(b, c)
    }

    #[inline(always)]
    fn min(self, a: f32x16, b: f32x16) -> f32x16 {
        // Not `fast_min`: what it makes of a NaN differs between targets.
        a.simd_lt(b).bitselect(a, b)
    }

    #[inline(always)]
    fn max(self, a: f32x16, b: f32x16) -> f32x16 {
        a.simd_gt(b).bitselect(a, b)
    }

    #[inline(always)]
    fn round(self, a: f32x16) -> f32x16 {
        a.round_ties_even()
    }

    #[inline(always)]
    fn scale(self, a: f32x16, n: f32x16) -> f32x16 {
        // An exponent of -127 means zero.
        a * pow2(self.max(n, f32x16::splat(-127.0)))
    }

    #[inline(always)]
    fn swap_pairs(self, a: f32x16) -> f32x16 {
        let a = a.to_array();
        f32x16::new(std::array::from_fn(|i| a[i ^ 1]))
    }

    #[inline(always)]
    fn transpose(self, rows: [f32x16; LANES]) -> [f32x16; LANES] {
        let mut columns = [[f32x8::ZERO; 2]; LANES];
        for half in 0..2 {
            for beside in 0..2 {
                let mut block = [f32x8::ZERO; 8];
                for (block, row) in block.iter_mut().zip(&rows[half * 8..]) {
                    *block = bytemuck::cast::<f32x16, [f32x8; 2]>(*row)[beside];
                }
                for (column, block) in columns[beside * 8..].iter_mut().zip(f32x8::transpose(block)) {
                    column[half] = block;
                }
            }
        }
        bytemuck::cast(columns)
    }

    #[inline(always)]
    fn prefetch<T>(self, x: &[T], at: usize) {
        prefetch(x, at);
    }

    #[inline(always)]
    fn multiply<const M: usize, const N: usize>(
        self,
        left: &[LeftChunk<M>],
        right: &[RightChunk<N>],
        mut sums: [[f32x16; N]; M],
    ) -> [[f32x16; N]; M] {
        if WHOLE_TILE {
            return multiply(self, left, right, sums);
        }
        for vector in 0..N {
            for half in 0..2 {
                let mut column = [f32x8::ZERO; M];
                for (column, sums) in column.iter_mut().zip(&sums) {
                    *column = bytemuck::cast::<f32x16, [f32x8; 2]>(sums[vector])[half];
                }
                for (left, right) in left.iter().zip(right) {
                    for (p, right) in right.iter().enumerate() {
                        let b = f32x8::new(right[vector].as_chunks().0[half]);
                        for (sum, left) in column.iter_mut().zip(left) {
                            *sum = f32x8::splat(left[p]).mul_add(b, *sum);
                        }
                    }
                }
                for (sums, column) in sums.iter_mut().zip(column) {
                    let mut halves: [f32x8; 2] = bytemuck::cast(sums[vector]);
                    halves[half] = column;
                    sums[vector] = bytemuck::cast(halves);
                }
            }
        }
        sums
    }
}

/// `2^n` by exponent bits, of integers in `-126..=127`; 0 of -127, infinite of 128.
#[inline(always)]
fn pow2(n: f32x16) -> f32x16 {
    // 1.5 * 2^23 + 127 leaves the biased exponent in the low bits of the sum.
    let bits: u32x16 = bytemuck::cast(n + f32x16::splat(12_582_912.0 + 127.0));
    bytemuck::cast(bits << 23_u32)
}
