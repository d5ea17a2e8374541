//! How near the kernels come to the peak of one thread: `cargo run --release -p zoetrope-kernels --example peak`.
//!
//! Words after `--` choose the lines that contain them all; `threads=2` runs on two threads, whose time is the clock's.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use zoetrope_kernels::{
    Activation, Attention, AttentionBias, Conv3d, Exec, Level, Stored, attention, conv3d, conv3d_winograd, linear,
    probe,
};

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

fn bf16(count: usize) -> Vec<u8> {
    numbers(count).iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect()
}

/// Seconds that this thread has run for, so that what else the machine does counts less; time itself where unknown, or
/// where there are more threads.
fn seconds(begin: Instant) -> f64 {
    if rayon::current_num_threads() > 1 {
        return begin.elapsed().as_secs_f64();
    }
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

/// One level's lines.
struct Lines<'a> {
    exec: Exec<'a>,
    words: &'a [String],
    peak: f64,
}

impl Lines<'_> {
    fn line(&self, name: &str, flop: usize, run: impl FnMut()) {
        let name = format!("{}: {name}", self.exec.level);
        if self.words.iter().all(|word| name.contains(word.as_str())) {
            let speed = measure(flop as f64, run);
            println!("{name:50} {speed:7.1} GFLOP/s {:5.1} %", 100.0 * speed / self.peak);
        }
    }

    fn linear(&self, rows: usize, k: usize, n: usize) {
        let (x, w, bias, mut out) = (numbers(rows * k), bf16(n * k), numbers(n), vec![0.0; rows * n]);
        self.line(&format!("linear {rows} x {k} x {n} bf16"), 2 * rows * k * n, || {
            linear(self.exec, &x, Stored::BF16(&w), rows, k, n, Some(&bias), Activation::None, &mut out);
        });
    }

    /// A causal convolution of some frames after two earlier ones.
    fn conv3d(&self, in_channels: usize, out_channels: usize, frames: usize, size: usize) {
        let s = Conv3d {
            frames,
            height: size,
            width: size,
            in_channels,
            out_channels,
            kernel: [3; 3],
            stride: [1; 3],
            tail_frames: 2,
            pad_front: 0,
            pad: [1; 4],
        };
        let (pixels, taps) = (size * size, 27);
        let (x, tail) = (numbers(frames * pixels * in_channels), numbers(2 * pixels * in_channels));
        let (w, bias) = (bf16(out_channels * in_channels * taps), numbers(out_channels));
        let mut out = vec![0.0; frames * pixels * out_channels];
        let name = format!("conv3d {in_channels} -> {out_channels} at {frames} x {size} x {size} bf16");
        self.line(&name, 2 * taps * in_channels * out_channels * frames * pixels, || {
            conv3d(self.exec, &s, &x, &tail, Stored::BF16(&w), Some(&bias), &mut out);
        });
        if s.prefers_winograd() {
            self.line(&format!("{name}, Winograd"), 2 * taps * in_channels * out_channels * frames * pixels, || {
                conv3d_winograd(self.exec, &s, &x, &tail, Stored::BF16(&w), Some(&bias), None, &mut out);
            });
        }
    }

    fn attention(&self, heads: usize, tokens: usize, head_dim: usize) {
        let width = heads * head_dim;
        let s = Attention {
            heads,
            head_dim,
            queries: tokens,
            keys: tokens,
            q_stride: width,
            kv_stride: width,
            out_stride: width,
            scale: 1.0 / (head_dim as f32).sqrt(),
        };
        let (q, k, v) = (numbers(tokens * width), numbers(tokens * width), numbers(tokens * width));
        let mut out = vec![0.0; tokens * width];
        self.line(&format!("attention {heads} heads x {tokens} x {head_dim}"), 4 * tokens * tokens * width, || {
            attention(self.exec, &s, &q, &k, &v, AttentionBias::None, &mut out);
        });
    }
}

fn main() {
    let stop = AtomicBool::new(false);
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let threads = words.iter().find_map(|word| word.strip_prefix("threads=")?.parse().ok()).unwrap_or(1);
    words.retain(|word| !word.starts_with("threads="));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    pool.install(|| {
        for &level in Level::available() {
            let exec = Exec { level, stop: &stop };
            let rounds = 10_000_000;
            let peak = measure(probe(exec, 1) as f64 * rounds as f64, || _ = probe(exec, rounds));
            println!("{level}: multiply and add in registers: {peak:.1} GFLOP/s");
            let lines = Lines { exec, words: &words, peak };
            for rows in [768, 4096, 77, 16, 1] {
                lines.linear(rows, 1536, 1536);
            }
            for rows in [768, 4096] {
                lines.linear(rows, 8960, 1536);
                lines.linear(rows, 1536, 8960);
            }
            lines.conv3d(96, 96, 4, 128);
            lines.conv3d(192, 192, 4, 64);
            lines.conv3d(384, 384, 2, 64);
            lines.conv3d(384, 384, 1, 32);
            lines.conv3d(384, 384, 4, 32);
            lines.conv3d(96, 3, 4, 64);
            lines.attention(12, 1024, 128);
            lines.attention(12, 4096, 128);
            lines.attention(64, 512, 64);
            lines.attention(1, 1024, 384);
            lines.attention(8, 256, 24);
        }
    });
}
