//! What the kernels' tests share: numbers, stored forms of them, distances, thread pools.

use std::sync::atomic::AtomicBool;

use crate::{Exec, Level, Stored};

/// A flag that is never set.
pub(crate) static GO: AtomicBool = AtomicBool::new(false);

/// How a test runs a kernel.
pub(crate) fn exec(level: Level) -> Exec<'static> {
    Exec { level, stop: &GO }
}

/// Numbers between -1 and 1 that depend on the seed alone.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A storage type and the bytes of some numbers in it, off every alignment.
pub(crate) struct Kept {
    kind: usize,
    bytes: Vec<u8>,
}

impl Kept {
    /// Random numbers in each storage type.
    pub(crate) fn each(seed: u64, count: usize) -> [Self; 3] {
        let numbers = numbers(seed, count);
        [0, 1, 2].map(|kind| {
            let mut bytes = vec![0x55];
            for &x in &numbers {
                match kind {
                    0 => bytes.extend(x.to_le_bytes()),
                    1 => bytes.extend(half::f16::from_f32(x).to_le_bytes()),
                    _ => bytes.extend(half::bf16::from_f32(x).to_le_bytes()),
                }
            }
            Self { kind, bytes }
        })
    }

    /// As a kernel takes them.
    pub(crate) fn stored(&self) -> Stored<'_> {
        match self.kind {
            0 => Stored::F32(&self.bytes[1..]),
            1 => Stored::F16(&self.bytes[1..]),
            _ => Stored::BF16(&self.bytes[1..]),
        }
    }

    /// What they stand for.
    pub(crate) fn widened(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.stored().len()];
        self.stored().widen(0..out.len(), &mut out);
        out
    }
}

/// The relative distance of `got` from `want`, in the root of the sum of squares.
pub(crate) fn distance(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let off: f64 = got.iter().zip(want).map(|(&g, w)| (f64::from(g) - w).powi(2)).sum();
    let size: f64 = want.iter().map(|w| w * w).sum();
    if off == 0.0 { 0.0 } else { (off / size).sqrt() }
}

/// Asserts that `kernel` fills `count` numbers with the same bits on 1, 2, 3 and 5 threads, and leaves none unwritten.
pub(crate) fn same_bits_on_any_number_of_threads(count: usize, kernel: impl Fn(&mut [f32]) + Sync) {
    let mut all = [1, 2, 3, 5].into_iter().map(|threads| {
        let mut out = vec![f32::NAN; count];
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| kernel(&mut out));
        assert!(out.iter().all(|x| !x.is_nan()));
        out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    let first = all.next().unwrap();
    assert!(all.all(|other| other == first));
}

/// The exact activation.
pub(crate) fn activate(act: crate::Activation, x: f64) -> f64 {
    match act {
        crate::Activation::None => x,
        crate::Activation::Silu => x / (1.0 + (-x).exp()),
        crate::Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
    }
}
