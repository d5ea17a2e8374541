//! The kernels at the shapes of Wan2.1 1.3B and its VAE, beside what the machine can do: `cargo bench --bench kernels`.
//!
//! One thread, on the instruction set that `ZOETROPE_SIMD` names or the best. Every line ends with the share of a limit
//! that is measured at the start of the same run: multiplications and additions in registers, or a copy in memory. Inputs
//! are random, weights bf16. A word after `--` chooses lines: `cargo bench --bench kernels -- attention`.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clock::now;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use zoetrope_kernels::{
    Activation, Attention, AttentionBias, Conv3d, Exec, Level, Onto, Stored, activate, attention, channel_norm, conv3d,
    conv3d_winograd, layer_norm, linear, linear_add, modulate, probe, rms_norm, rope,
};

mod clock;

static STOP: AtomicBool = AtomicBool::new(false);

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

/// What the machine can do on this thread: operations, and bytes read or written, in a second.
#[derive(Clone, Copy)]
struct Limits {
    exec: Exec<'static>,
    flop: f64,
    bytes: f64,
}

impl Limits {
    fn measure() -> Self {
        let exec = Exec { level: Level::detect().expect("a level of this machine"), stop: &STOP };
        let begin = Instant::now();
        let best = |work: f64, run: &mut dyn FnMut()| {
            let times = (0..8).map(|_| {
                let start = now(begin);
                run();
                (now(begin) - start).as_secs_f64()
            });
            work / times.fold(f64::INFINITY, f64::min)
        };
        let rounds = 3_000_000;
        let flop = best(probe(exec, 1) as f64 * rounds as f64, &mut || _ = probe(exec, rounds));
        let (from, mut to) = (numbers(1 << 25), vec![0.0; 1 << 25]);
        let bytes = best((8 << 25) as f64, &mut || {
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
        });
        println!("{}: {:.1} GFLOP/s in registers, copies at {:.1} GB/s", exec.level, flop / 1e9, bytes / 1e9);
        Self { exec, flop, bytes }
    }
}

/// What a line counts.
#[derive(Clone, Copy)]
enum Work {
    Flop(usize),
    Bytes(usize),
}

/// Lines of one kernel.
struct Lines<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    limits: Limits,
}

impl Lines<'_> {
    /// Times `run`.
    fn line(&mut self, name: &str, work: Work, mut run: impl FnMut()) {
        self.line_of(name, work, &mut (), |()| (), |()| run());
    }

    /// Times `run` after `prepare`, which is not counted.
    fn line_of<T>(&mut self, name: &str, work: Work, on: &mut T, prepare: fn(&mut T), mut run: impl FnMut(&mut T)) {
        let (count, limit) = match work {
            Work::Flop(flop) => (flop, self.limits.flop),
            Work::Bytes(bytes) => (bytes, self.limits.bytes),
        };
        self.group.throughput(match work {
            Work::Flop(flop) => Throughput::Elements(flop as u64),
            Work::Bytes(bytes) => Throughput::BytesDecimal(bytes as u64),
        });
        let begin = Instant::now();
        let mut times = Vec::new();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    prepare(on);
                    let start = now(begin);
                    run(on);
                    times.push(now(begin) - start);
                    total += *times.last().expect("a time");
                }
                total
            });
        });
        times.sort();
        if let Some(median) = times.get(times.len() / 2) {
            println!("{:>40} {:.1} % of the limit", "", 100.0 * count as f64 / median.as_secs_f64() / limit);
        }
    }

    fn linear(&mut self, rows: usize, k: usize, n: usize) {
        let (x, w, bias, mut out) = (numbers(rows * k), bf16(n * k), numbers(n), vec![0.0; rows * n]);
        let (exec, work) = (self.limits.exec, Work::Flop(2 * rows * k * n));
        self.line(&format!("{rows}x{k}x{n}"), work, || {
            linear(exec, &x, Stored::BF16(&w), rows, k, n, Some(&bias), Activation::None, &mut out);
        });
    }

    fn linear_add(&mut self, rows: usize, k: usize, n: usize) {
        let (x, w, bias, gate) = (numbers(rows * k), bf16(n * k), numbers(n), numbers(n));
        let mut out = vec![0.0; rows * n];
        let (exec, work) = (self.limits.exec, Work::Flop(2 * rows * k * n));
        self.line(&format!("{rows}x{k}x{n} added with a gate"), work, || {
            linear_add(exec, &x, Stored::BF16(&w), rows, k, n, Some(&bias), Some(&gate), &mut out);
        });
    }

    fn attention(&mut self, heads: usize, tokens: usize, head_dim: usize) {
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
        let [q, k, v] = [(); 3].map(|()| numbers(tokens * width));
        let mut out = vec![0.0; tokens * width];
        let (exec, work) = (self.limits.exec, Work::Flop(4 * tokens * tokens * width));
        self.line(&format!("{heads} heads x {tokens} x {head_dim}"), work, || {
            attention(exec, &s, &q, &k, &v, AttentionBias::None, &mut out);
        });
    }

    /// A causal convolution of some frames after two earlier ones, by direct sums and, where it serves, by Winograd's
    /// algorithm, whose share counts the multiplications that it saves.
    fn conv3d(&mut self, in_channels: usize, out_channels: usize, frames: usize, size: usize) {
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
        let pixels = size * size;
        let (x, tail) = (numbers(frames * pixels * in_channels), numbers(2 * pixels * in_channels));
        let (w, bias) = (bf16(out_channels * in_channels * 27), numbers(out_channels));
        let mut out = vec![0.0; frames * pixels * out_channels];
        let (exec, work) = (self.limits.exec, Work::Flop(2 * 27 * in_channels * out_channels * frames * pixels));
        let name = format!("{in_channels} to {out_channels} at {frames}x{size}x{size}");
        self.line(&format!("{name}, exact"), work, || {
            conv3d(exec, &s, &x, &tail, Stored::BF16(&w), Some(&bias), Onto::Nothing, &mut out);
        });
        if s.prefers_winograd() {
            self.line(&name, work, || {
                conv3d_winograd(exec, &s, &x, &tail, Stored::BF16(&w), Some(&bias), Onto::Nothing, &mut out);
            });
        }
    }

    /// An op on `[rows, width]` in place, on fresh numbers each time.
    fn in_place(&mut self, name: &str, rows: usize, width: usize, mut run: impl FnMut(Exec, &mut [f32])) {
        let x = numbers(rows * width);
        let mut on = (x.clone(), x);
        let (exec, work) = (self.limits.exec, Work::Bytes(8 * rows * width));
        // Repeated on its own result, an op may end in numbers that are slow to compute with.
        let again = |(own, x): &mut (Vec<f32>, Vec<f32>)| own.copy_from_slice(x);
        self.line_of(&format!("{name} {rows}x{width}"), work, &mut on, again, |(own, _)| run(exec, own));
    }

    /// An op from `[rows, width]` to another such.
    fn through(&mut self, name: &str, rows: usize, width: usize, mut run: impl FnMut(Exec, &[f32], &mut [f32])) {
        let (x, mut out) = (numbers(rows * width), vec![0.0; rows * width]);
        let (exec, work) = (self.limits.exec, Work::Bytes(8 * rows * width));
        self.line(&format!("{name} {rows}x{width}"), work, || run(exec, &x, &mut out));
    }
}

/// Tokens of 256x256 pixels and 9 frames, and of a longer clip.
const TOKENS: [usize; 2] = [768, 4096];
const WIDTH: usize = 1536;
const HEAD: usize = 128;

fn kernels(criterion: &mut Criterion) {
    // This thread does all the work, so that its time is the work's.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().expect("the first pool");
    let limits = Limits::measure();
    let mut lines = |name: &str, fill: &dyn Fn(&mut Lines)| {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        fill(&mut Lines { group, limits });
    };
    lines("linear", &|lines| {
        for rows in TOKENS {
            lines.linear(rows, WIDTH, WIDTH);
            lines.linear(rows, WIDTH, 8960);
            lines.linear(rows, 8960, WIDTH);
            lines.linear_add(rows, 8960, WIDTH);
        }
        for rows in [77, 16, 1] {
            lines.linear(rows, WIDTH, WIDTH);
        }
    });
    lines("attention", &|lines| {
        for (heads, tokens, head_dim) in [(12, 768, 128), (12, 4096, 128), (64, 512, 64), (1, 1024, 384), (8, 256, 24)]
        {
            lines.attention(heads, tokens, head_dim);
        }
    });
    lines("conv3d", &|lines| {
        for (inputs, outputs, frames, size) in
            [(96, 96, 4, 128), (192, 192, 4, 64), (384, 384, 4, 32), (384, 384, 1, 32), (96, 3, 4, 64)]
        {
            lines.conv3d(inputs, outputs, frames, size);
        }
    });
    lines("rows", &|lines| {
        let (scale, shift) = (numbers(WIDTH), numbers(WIDTH));
        let table = numbers(4096 * HEAD / 2);
        lines.through("rms_norm", 4096, WIDTH, |exec, x, out| rms_norm(exec, x, &scale, 1e-6, out));
        lines.through("layer_norm", 4096, WIDTH, |exec, x, out| layer_norm(exec, x, WIDTH, None, 1e-6, out));
        lines.through("channel_norm, silu", 65536, 96, |exec, x, out| {
            channel_norm(exec, x, &scale[..96], Activation::Silu, out);
        });
        lines.in_place("gelu_tanh", 4096, 8960, |exec, x| activate(exec, x, Activation::GeluTanh));
        lines.in_place("silu", 65536, 96, |exec, x| activate(exec, x, Activation::Silu));
        lines.in_place("modulate", 4096, WIDTH, |exec, x| modulate(exec, x, &scale, &shift));
        lines.in_place("rope", 4096, WIDTH, |exec, x| rope(exec, x, WIDTH / HEAD, HEAD, &table, &table));
    });
}

criterion_group!(benches, kernels);
criterion_main!(benches);
