//! What it costs the processor to record work for a GPU: `cargo bench --features vulkan --bench recording`.
//!
//! Each line is 1,000 dispatches of one op on tensors so small that their arithmetic counts for little; the time is this
//! thread's own, from the call of the op until the last commands are submitted and done. A software driver computes in
//! threads of its own. Bound: 5 microseconds a dispatch.

use std::time::{Duration, Instant};

use clock::now;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use zoetrope::rng::randn;
use zoetrope::{Device, DeviceOptions, Result, Tensor, ops};

mod clock;

const DISPATCHES: u64 = 1000;

/// One dispatch of an op, and the op's name.
type Line<'a> = (&'a str, Box<dyn FnMut() -> Result<()> + 'a>);

fn recording(criterion: &mut Criterion) {
    let usable = Device::gpus().unwrap_or_default().into_iter().find(|gpu| gpu.unusable.is_none());
    let Some(gpu) = usable else { return println!("nothing to record for: no GPU can be used") };
    let device = Device::vulkan(gpu.index, DeviceOptions::default()).expect("a usable GPU");
    let tensor = |rows: usize| Tensor::from_slice(&device, [rows, 64], &randn(0, rows * 64)).expect("a tensor");
    let (x, y) = (tensor(4), tensor(4));
    let scale = Tensor::from_slice(&device, [64], &randn(1, 64)).expect("a tensor");
    let mut sum = Some(tensor(4));
    let mut in_place = || {
        sum = Some(ops::add(sum.take().expect("a sum"), &y)?);
        Ok(())
    };
    let mut lines: [Line; 3] = [
        ("add, in place", Box::new(&mut in_place)),
        ("rms_norm", Box::new(|| ops::rms_norm(&x, &scale, 1e-6, ops::OutputType::F32).map(drop))),
        ("layer_norm", Box::new(|| ops::layer_norm(&x, None, 1e-6, ops::OutputType::F32).map(drop))),
    ];
    let mut group = criterion.benchmark_group("recording");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(DISPATCHES));
    let begin = Instant::now();
    for (name, op) in &mut lines {
        let mut each = Vec::new();
        group.bench_function(BenchmarkId::new(*name, DISPATCHES), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let start = now(begin);
                    for _ in 0..DISPATCHES {
                        op().expect("a dispatch");
                    }
                    device.wait().expect("the device");
                    each.push(now(begin) - start);
                    total += *each.last().expect("a time");
                }
                total
            });
        });
        each.sort();
        if let Some(median) = each.get(each.len() / 2) {
            println!("{:>40} {:.2} microseconds a dispatch", "", median.as_secs_f64() * 1e6 / DISPATCHES as f64);
        }
    }
}

criterion_group!(benches, recording);
criterion_main!(benches);
