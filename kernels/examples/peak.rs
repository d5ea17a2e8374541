//! How near the kernels come to the peak of one thread: `cargo run --release -p zoetrope-kernels --example peak`.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use zoetrope_kernels::{Activation, Conv3d, Exec, Level, Stored, conv3d, linear, probe};

fn numbers(count: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn bf16(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect()
}

/// Seconds that this thread has run for, so that what else the machine does counts less; time itself where unknown.
fn seconds(begin: Instant) -> f64 {
    // The kernel's account is brought up to date when the thread offers to pause.
    std::thread::yield_now();
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let running = schedule.as_ref().and_then(|s| s.split(' ').next()).and_then(|s| s.parse::<u64>().ok());
    running.map_or_else(|| begin.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

/// The best of several runs, in GFLOP/s.
fn measure(flop: f64, mut run: impl FnMut()) -> f64 {
    run();
    let begin = Instant::now();
    let (mut best, mut runs) = (f64::INFINITY, 0);
    while runs < 5 || (begin.elapsed().as_secs_f64() < 1.0 && runs < 1000) {
        let start = seconds(begin);
        run();
        best = best.min(seconds(begin) - start);
        runs += 1;
    }
    flop / best / 1e9
}

fn report(name: &str, peak: f64, speed: f64) {
    println!("{name:46} {speed:7.1} GFLOP/s {:5.1} %", 100.0 * speed / peak);
}

fn main() {
    let stop = AtomicBool::new(false);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    let only = std::env::args().nth(1).unwrap_or_default();
    one.install(|| {
        for &level in Level::available() {
            if !level.to_string().starts_with(&only) {
                continue;
            }
            let exec = Exec { level, stop: &stop };
            let rounds = 10_000_000;
            let peak = measure(probe(exec, 1) as f64 * rounds as f64, || _ = probe(exec, rounds));
            report(&format!("{level}: peak, registers only"), peak, peak);
            for (rows, k, n) in [
                (768, 1536, 1536),
                (768, 8960, 1536),
                (768, 1536, 8960),
                (77, 1536, 1536),
                (16, 1536, 1536),
                (1, 1536, 1536),
            ] {
                let (x, w, bias) = (numbers(rows * k), bf16(&numbers(n * k)), numbers(n));
                let mut out = vec![0.0; rows * n];
                let speed = measure((2 * rows * k * n) as f64, || {
                    linear(exec, &x, Stored::BF16(&w), rows, k, n, Some(&bias), Activation::None, &mut out);
                });
                report(&format!("{level}: linear {rows} x {k} x {n} bf16"), peak, speed);
            }
            for (channels, frames, size) in [(96, 4, 128), (192, 4, 64), (384, 1, 32)] {
                let shape = Conv3d {
                    frames,
                    height: size,
                    width: size,
                    in_channels: channels,
                    out_channels: channels,
                    kernel: [3; 3],
                    stride: [1; 3],
                    tail_frames: 2,
                    pad_front: 0,
                    pad: [1; 4],
                };
                let frame = size * size * channels;
                let (x, tail, bias) = (numbers(frames * frame), numbers(2 * frame), numbers(channels));
                let w = bf16(&numbers(channels * channels * 27));
                let mut out = vec![0.0; frames * frame];
                let speed = measure((2 * 27 * channels * frames * frame) as f64, || {
                    conv3d(exec, &shape, &x, &tail, Stored::BF16(&w), Some(&bias), &mut out);
                });
                report(
                    &format!("{level}: conv3d {channels} -> {channels} at {frames} x {size} x {size} bf16"),
                    peak,
                    speed,
                );
            }
        }
    });
}
