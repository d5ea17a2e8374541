//! The machine's speed limit, to hold the kernels against.

use crate::simd::{Kernel, LANES, Simd};
use crate::{Exec, Level};

/// Multiplies and adds in registers on this thread and returns how many floating-point operations that were.
///
/// Divided by the time it took, this is the peak that no kernel of the same level exceeds on one thread.
pub fn probe(exec: Exec, rounds: usize) -> u64 {
    let rounds = std::hint::black_box(rounds);
    // Sums enough to hide the latency of a fused multiply-add, few enough for the registers.
    let sums = match exec.level {
        Level::Portable => exec.run(Probe::<3> { rounds }),
        Level::Avx2 => exec.run(Probe::<6> { rounds }),
        Level::Avx512 => exec.run(Probe::<12> { rounds }),
    };
    (rounds * sums * LANES * 2) as u64
}

struct Probe<const SUMS: usize> {
    rounds: usize,
}

impl<const SUMS: usize> Kernel for Probe<SUMS> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let (a, b) = (s.splat(std::hint::black_box(0.999)), s.splat(std::hint::black_box(1e-3)));
        let mut sums: [S::V; SUMS] = std::array::from_fn(|i| s.splat(i as f32));
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = s.fma(*sum, a, b);
            }
        }
        std::hint::black_box(sums.map(|sum| s.sum(sum)));
        SUMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exec;

    #[test]
    fn operations_are_counted() {
        for (level, each) in [(Level::Portable, 96), (Level::Avx2, 192), (Level::Avx512, 384)] {
            if Level::available().contains(&level) {
                assert_eq!(probe(exec(level), 10), 10 * each);
            }
        }
    }
}
