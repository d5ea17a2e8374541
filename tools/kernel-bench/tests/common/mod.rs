//! Results that nobody measured.

use kernel_bench::random::Random;
use speeds::case::{Case, ElementwiseKind, NormKind};
use speeds::machine::Host;
use speeds::peak::{Limit, Peak};
use speeds::results::{
    self, DeviceInfo, DeviceResults, ErrorFigures, Measured, Results, Row, SCHEMA, Skipped, Storage, Types,
};
use speeds::stats::Summary;
use speeds::suite::Suite;
use speeds::timing::{Clock, ThreadTiming, Timing};

/// Samples of a timer that is disturbed as a shared machine disturbs it: a spread of two in a hundred, and now and then a
/// sample that took half as long again.
pub fn samples(random: &mut Random, seconds: f64, count: usize) -> Vec<f64> {
    let one = |random: &mut Random| {
        let spread = 1.0 + 0.02 * f64::from(random.normal());
        let hiccup = if random.below(20) == 0 { 1.5 } else { 1.0 };
        seconds * spread * hiccup
    };
    (0..count).map(|_| one(random)).collect()
}

fn timing(random: &mut Random, seconds: f64) -> Timing {
    let (wall, thread) = (samples(random, seconds, 24), samples(random, 2.0 * seconds, 24));
    let median = Summary::of(&thread).median;
    Timing {
        clock: Clock::Wall,
        repeats: 3,
        sets: 4,
        summary: Summary::of(&wall),
        samples: wall,
        thread: Some(ThreadTiming { summary: Summary::of(&thread), samples: thread }),
        visits: [1.04, 1.0, 1.01, 1.005, 1.01].map(|times| times * median).to_vec(),
    }
}

/// A row that took about so long.
pub fn row(random: &mut Random, case: Case, seconds: f64) -> Row {
    let weights = case.has_weight().then_some(Storage::Bf16);
    let (flop, bytes) = (case.flop(), case.bytes(2));
    let measured = Measured {
        cold: timing(random, seconds),
        hot: Some(timing(random, 0.9 * seconds)),
        tflops: flop as f64 / seconds / 1e12,
        gbs: bytes as f64 / seconds / 1e9,
        limit: Some(Limit::Compute),
        share: Some(0.8),
        thread_share: Some(0.9),
        error: ErrorFigures { samples: 288, max_abs: Some(1e-5), rel_rms: Some(1e-6), tolerance: 1e-4, wrong: false },
    };
    let types = Types { weights, activations: Storage::F32, accumulate: Storage::F32 };
    let flop_per_byte = flop as f64 / bytes as f64;
    Row { case, types, path: "avx2".into(), flop, bytes, flop_per_byte, measured: Some(measured), skipped: None }
}

/// A row of each op and some more, at a speed that depends on the work alone.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Suite::Quick.cases().to_vec();
    cases.push(Case::norm(NormKind::ChannelNorm, 100, 32));
    cases.push(Case::elementwise(ElementwiseKind::Copy, 100, 32));
    cases
}

/// Results of a processor; the row at `slow.0` takes `slow.1` times as long.
pub fn results(seed: u64, slow: Option<(usize, f64)>) -> Results {
    let mut random = Random::new(seed);
    let seconds = |i: usize, case: &Case| {
        let factor = slow.filter(|(row, _)| *row == i).map_or(1.0, |(_, factor)| factor);
        factor * (case.flop() as f64 / 1e11 + case.bytes(2) as f64 / 1e10)
    };
    let mut rows: Vec<Row> =
        cases().iter().enumerate().map(|(i, case)| row(&mut random, *case, seconds(i, case))).collect();
    let skipped = Some(Skipped { why: "it takes too long".into(), seconds: Some(12.5) });
    let late = row(&mut random, Case::attention(40, 128, 75600, 75600), 100.0);
    rows.push(Row { measured: None, skipped, ..late });
    let device = DeviceInfo {
        id: "cpu".into(),
        name: "A <processor> & \"more\"".into(),
        kind: "cpu".into(),
        vendor: None,
        driver: None,
        api: None,
        memory: Some(8 << 30),
        f16: None,
        subgroup: None,
        level: Some("avx2".into()),
        threads: Some(2),
        cache: 32 << 20,
        heaps: Vec::new(),
        limits: None,
        matrices: Vec::new(),
    };
    let peak = Peak {
        flops: Some(2e11),
        thread_flops: Some(1e11),
        half_flops: None,
        matrix_flops: None,
        bytes: 2e10,
        fresh: None,
    };
    let warnings = vec!["a test".into()];
    Results {
        schema: SCHEMA,
        date: "2026-01-02T03:04:05Z".into(),
        engine: results::engine(),
        host: Host { os: "test".into(), arch: "x86_64".into(), cpu: None, cores: 2, memory: None, load: Some(0.1) },
        suite: Suite::Quick,
        suite_version: Suite::Quick.version(),
        seconds_per_row: 3.0,
        devices: vec![DeviceResults { device, peak, clocks: Some([3000.0, 2900.0]), warnings, rows }],
    }
}
