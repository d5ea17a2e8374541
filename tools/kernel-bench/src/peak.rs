//! What a device can do at most: measured, as datasheets promise what nobody gets.

use rayon::prelude::*;
use speeds::Result;
use speeds::peak::Peak;
use zoetrope::internals::multiply_add;
use zoetrope::ops::{self, Arithmetic};
use zoetrope::{Device, Tensor};

use crate::clock::Moment;
use crate::random;

/// Attempts of which the best counts.
const ATTEMPTS: usize = 8;
/// Seconds of an attempt, about.
const ATTEMPT: f64 = 0.05;
/// Numbers of each buffer of a copy, at least: 64 MiB.
const COPIED: usize = 1 << 24;

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
