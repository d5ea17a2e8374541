//! How near the kernels come to the peak of one thread: `cargo run --release -p zoetrope-kernels --example peak`.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use zoetrope_kernels::{Activation, Exec, Level, Stored, linear, probe};

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

/// The best of several runs, in GFLOP/s.
fn measure(flop: f64, mut run: impl FnMut()) -> f64 {
    run();
    let begin = Instant::now();
    let (mut best, mut runs) = (f64::INFINITY, 0);
    while runs < 5 || (begin.elapsed().as_secs_f64() < 1.0 && runs < 1000) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
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
        }
    });
}
