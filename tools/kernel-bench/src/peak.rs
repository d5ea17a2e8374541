//! What a device can do at most: measured, as datasheets promise what nobody gets.

use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zoetrope::ops::{self, Arithmetic};
use zoetrope::plan::multiply_add;
use zoetrope::{Device, Tensor};

use crate::clock::Moment;
use crate::error::Result;
use crate::random;

/// Attempts of which the best counts.
const ATTEMPTS: usize = 8;
/// Seconds of an attempt, about.
const ATTEMPT: f64 = 0.05;
/// Numbers of each buffer of a copy, at least: 64 MiB.
const COPIED: usize = 1 << 24;

/// What a device can do at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// FLOP a second of multiplications and additions in registers, F32.
    pub flops: Option<f64>,
    /// The same for each second that a thread ran.
    pub thread_flops: Option<f64>,
    /// FLOP a second of multiplications and additions of F16 in pairs, on a GPU that has them; files of earlier versions
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_flops: Option<f64>,
    /// FLOP a second of products of F16 matrices with sums of F32, where matrix units do them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix_flops: Option<f64>,
    /// Bytes a second that a copy reads and writes, past all caches.
    pub bytes: f64,
    /// Bytes of memory that the system gives to a thread a second, a page when it is first written to; of a processor, and
    /// files of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<f64>,
}

impl Peak {
    /// The better of two measurements: nothing is faster than it can be.
    pub fn best(self, other: Self) -> Self {
        let higher = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b);
        Self {
            flops: higher(self.flops, other.flops),
            thread_flops: higher(self.thread_flops, other.thread_flops),
            half_flops: higher(self.half_flops, other.half_flops),
            matrix_flops: higher(self.matrix_flops, other.matrix_flops),
            bytes: self.bytes.max(other.bytes),
            fresh: higher(self.fresh, other.fresh),
        }
    }

    /// The peak of what matrix units do.
    pub fn of_units(self) -> Self {
        Self { flops: self.matrix_flops, thread_flops: None, ..self }
    }

    /// Seconds that nothing can stay below, and what sets them; `None` where the rate is not known.
    pub fn bound(&self, flop: f64, bytes: f64) -> Option<(f64, Limit)> {
        // Work that takes this many operations on a byte is no question of memory, on any device.
        const SURELY_COMPUTE: f64 = 20.0;
        let memory = bytes / self.bytes;
        match self.flops {
            Some(flops) if flop / flops > memory => Some((flop / flops, Limit::Compute)),
            None if flop > SURELY_COMPUTE * bytes => None,
            _ => Some((memory, Limit::Memory)),
        }
    }

    /// Seconds of threads that arithmetic takes at least, where that is the limit: memory is shared among threads, so that
    /// time of one of them says nothing of it.
    pub fn thread_bound(&self, flop: f64, bytes: f64) -> Option<f64> {
        let computes = self.bound(flop, bytes).is_some_and(|(_, limit)| limit == Limit::Compute);
        self.thread_flops.filter(|_| computes).map(|flops| flop / flops)
    }
}

/// What keeps an op from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Arithmetic.
    Compute,
    /// Reading and writing.
    Memory,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
        })
    }
}

/// Measures a device's peaks.
///
/// # Errors
/// Those of ops.
pub fn measure(device: &Device, cache: u64) -> Result<Peak> {
    let full = arithmetic(device, Arithmetic::F32)?;
    let [half_flops, matrix_flops] = [Arithmetic::F16, Arithmetic::CooperativeMatrix].map(|of| arithmetic(device, of));
    let rate = |measured: Option<(f64, Option<f64>)>| measured.map(|(flops, _)| flops);
    let bytes = if device.is_gpu() { copies(device, cache)? } else { copy(cache)? };
    Ok(Peak {
        flops: rate(full),
        thread_flops: full.and_then(|(_, thread)| thread),
        half_flops: rate(half_flops?),
        matrix_flops: rate(matrix_flops?),
        bytes,
        fresh: (!device.is_gpu()).then(fresh).transpose()?,
    })
}

/// Pages that are written to for the first time; what is asked for at once is so much that no allocator has it.
fn fresh() -> Result<f64> {
    const BYTES: usize = 64 << 20;
    const PAGE: usize = 4096;
    let (rate, _) = best(&Device::cpu()?, || {
        let mut memory = vec![0u8; BYTES];
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        std::hint::black_box(&mut memory);
        Ok(BYTES as f64)
    })?;
    Ok(rate)
}

/// The best rate of an amount in each attempt, by the clock and by the time that threads ran; a GPU's own clock is the one
/// if it has one.
fn best(device: &Device, mut attempt: impl FnMut() -> Result<f64>) -> Result<(f64, Option<f64>)> {
    let (mut best, mut best_thread) = (0f64, 0f64);
    for _ in 0..ATTEMPTS {
        let mut amount = Ok(0.0);
        let start = Moment::now();
        let own = device.timed(|| {
            amount = attempt();
            Ok(())
        })?;
        let (wall, thread) = start.elapsed();
        let amount = amount?;
        best = best.max(amount / own.unwrap_or(wall));
        best_thread = best_thread.max(thread.filter(|&thread| thread > 0.0).map_or(0.0, |thread| amount / thread));
    }
    Ok((best, (best_thread > 0.0 && !device.is_gpu()).then_some(best_thread)))
}

/// Multiplications and additions in registers, if the device does them so.
fn arithmetic(device: &Device, of: Arithmetic) -> Result<Option<(f64, Option<f64>)>> {
    // As many rounds as take some time, on whatever device.
    let mut rounds = 1;
    loop {
        let start = Moment::now();
        if multiply_add(device, of, rounds)?.is_none() {
            return Ok(None);
        }
        device.wait()?;
        let seconds = start.elapsed().0;
        if seconds >= ATTEMPT / 2.0 || rounds >= 1 << 28 {
            break;
        }
        // The first runs tell little of the next.
        rounds *= 2 << (seconds < ATTEMPT / 16.0) as usize;
    }
    best(device, || Ok(multiply_add(device, of, rounds)?.unwrap_or(0) as f64)).map(Some)
}

/// A copy by every thread of the pool at once, as ops use it.
fn copy(cache: u64) -> Result<f64> {
    let (numbers, threads) = (COPIED.max(cache as usize), rayon::current_num_threads());
    let from = random::normal(1, 1 << 16, 1.0).repeat(numbers >> 16);
    let mut to = from.clone();
    // Enough pieces to share out evenly.
    let piece = from.len().div_ceil(4 * threads).max(1);
    let (rate, _) = best(&Device::cpu()?, || {
        let pieces = to.par_chunks_mut(piece).zip(from.par_chunks(piece));
        pieces.for_each(|(to, from)| to.copy_from_slice(std::hint::black_box(from)));
        std::hint::black_box(&mut to);
        Ok((8 * from.len()) as f64)
    })?;
    Ok(rate)
}

/// Copies within a GPU.
fn copies(device: &Device, cache: u64) -> Result<f64> {
    let numbers = COPIED.max(cache as usize / 2);
    let x = Tensor::from_slice(device, [numbers >> 10, 1 << 10], &random::normal(1, numbers >> 10 << 10, 1.0))?;
    let mut at_once = 1;
    loop {
        let start = Moment::now();
        (0..at_once).try_for_each(|_| ops::repeat_rows(&x, 1).map(drop))?;
        device.wait()?;
        if start.elapsed().0 >= ATTEMPT / 2.0 || at_once >= 1 << 10 {
            break;
        }
        at_once *= 2;
    }
    let (rate, _) = best(device, || {
        (0..at_once).try_for_each(|_| ops::repeat_rows(&x, 1).map(drop))?;
        Ok((at_once * 8 * x.shape().numel()) as f64)
    })?;
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_higher_of_two() {
        let [half_flops, matrix_flops] = [Some(200.0), Some(1000.0)];
        let peak =
            Peak { flops: Some(100.0), thread_flops: Some(50.0), half_flops, matrix_flops, bytes: 10.0, fresh: None };
        assert_eq!(peak.of_units().bound(3000.0, 10.0), Some((3.0, Limit::Compute)));
        assert_eq!(peak.bound(1000.0, 10.0), Some((10.0, Limit::Compute)));
        assert_eq!(peak.bound(100.0, 100.0), Some((10.0, Limit::Memory)));
        assert_eq!((peak.thread_bound(1000.0, 10.0), peak.thread_bound(100.0, 100.0)), (Some(20.0), None));
        let unknown = Peak { flops: None, ..peak };
        assert_eq!(unknown.bound(1000.0, 10.0), None);
        assert_eq!(unknown.bound(10.0, 10.0), Some((1.0, Limit::Memory)));
    }
}
