//! The machine's speed limit, to hold the kernels against.

use crate::Exec;
use crate::simd::{Kernel, Simd};

/// Sums kept in registers: enough to hide the latency of a fused multiply-add, few enough for sixteen registers.
const SUMS: usize = 12;

/// Multiplies and adds in registers on this thread and returns how many floating-point operations that were.
///
/// Divided by the time it took, this is the peak that no kernel of the same level exceeds on one thread.
pub fn probe(exec: Exec, rounds: usize) -> u64 {
    exec.run(Probe { rounds: std::hint::black_box(rounds) });
    (rounds * SUMS * 8 * 2) as u64
}

struct Probe {
    rounds: usize,
}

impl Kernel for Probe {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (a, b) = (s.splat(std::hint::black_box(0.999)), s.splat(std::hint::black_box(1e-3)));
        let mut sums: [S::V; SUMS] = std::array::from_fn(|i| s.splat(i as f32));
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = s.fma(*sum, a, b);
            }
        }
        std::hint::black_box(sums.map(|sum| s.sum(sum)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::testing::exec;

    #[test]
    fn operations_are_counted() {
        for &level in Level::available() {
            assert_eq!(probe(exec(level), 10), 1920);
        }
    }
}
