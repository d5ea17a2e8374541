//! One row: checked against sums, warmed up, timed cold and hot.

use zoetrope::plan::Probe;
use zoetrope::{Device, Precision};

use crate::clock::Moment;
use crate::exact::Expected;
use crate::task::Task;
use crate::tune;
use speeds::case::{Case, Conv3d, Op};
use speeds::error::Result;
use speeds::peak::Peak;
use speeds::results::{ErrorFigures, Measured, Row, Skipped, Storage, Types};
use speeds::stats::median;
use speeds::timing::{COUNTED, Clock, Timing, Visit};

/// Samples of a visit.
const SAMPLES: usize = 5;
/// Runs of an op that a row takes besides its samples.
const BEFORE: usize = 2;
/// Visits of a row, at most: to all rows once, then to all again.
pub const VISITS: usize = 16;
/// The share of each other that the visits that count may differ by, if there are to be no more.
const SETTLED: f64 = 0.02;
/// How many times a row's seconds its visits may take.
const AGAIN: f64 = 1.5;
/// Seconds of a sample, at least: of a processor and of a GPU, which is waited for at its end.
const SAMPLE: [f64; 2] = [0.01, 0.05];
/// What results may be off, as a share of their size: the single precision of everything so far, and Winograd's
/// algorithm, which is at a tenth of it.
const TOLERANCE: f64 = 1e-4;
/// The same of results that are kept as F16: drivers may round either way.
const TOLERANCE_OF_HALVES: f64 = 1e-3;
/// Sets of operands, at most.
const MOST_SETS: usize = 1024;
/// Runs that a row takes at least, and a few before.
const LEAST: usize = COUNTED * SAMPLES + BEFORE;

/// What rows of a device have in common.
pub struct Bench<'a> {
    /// Where to run.
    pub device: &'a Device,
    /// The engine's own guess at speeds.
    pub probe: Probe,
    /// Bytes of the last cache.
    pub cache: u64,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Seconds for each row.
    pub seconds: f64,
}

/// A row between its visits.
pub struct Pending {
    /// The op and its shape.
    pub case: Case,
    storage: Storage,
    activations: Storage,
    by_matrices: bool,
    path: String,
    found: Found,
}

/// What visits found, or why there was none.
type Found = std::result::Result<Times, Skipped>;

struct Times {
    clock: Clock,
    repeats: usize,
    sets: usize,
    visits: Vec<Visit>,
    hot: Option<Timing>,
    error: ErrorFigures,
}

impl Times {
    fn cold(&self) -> Timing {
        Timing::of(self.clock, self.repeats, self.sets, &self.visits)
    }
}

impl Pending {
    /// The row when all visits are over, on a device that can do so much at most.
    pub fn row(self, peak: &Peak) -> Row {
        let Self { case, storage, activations, by_matrices, path, found } = self;
        let peak = if by_matrices { &peak.of_matrices() } else { peak };
        let weights = case.has_weight().then_some(storage);
        let (flop, bytes) = (case.flop(), bytes(&case, storage, activations));
        let (measured, skipped) = match found {
            Ok(times) => (Some(Measured::new(flop, bytes, peak, times.cold(), times.hot, times.error)), None),
            Err(skipped) => (None, Some(skipped)),
        };
        Row {
            case,
            types: Types { weights, activations, accumulate: Storage::F32 },
            path,
            flop,
            bytes,
            flop_per_byte: flop as f64 / bytes as f64,
            measured,
            skipped,
        }
    }
}

impl Bench<'_> {
    /// Measures a case for the first time, or says why it cannot be.
    ///
    /// # Errors
    /// Those of ops, but for memory that does not suffice.
    pub fn first(&self, case: Case, storage: Storage) -> Result<Pending> {
        let before = cooperative_runs(self.device);
        let activations = self.activations(&case);
        let bytes = bytes(&case, storage, activations);
        let found = match self.measure(&case, storage, bytes) {
            // What does not fit is no failure of the run.
            Err(speeds::Error::Engine(error @ zoetrope::Error::OutOfMemory { .. })) => {
                Err(Skipped { why: error.to_string(), seconds: Some(self.guess(&case, bytes)) })
            }
            found => found?,
        };
        let by_matrices = cooperative_runs(self.device) > before;
        let path = path(self.device, &case, by_matrices);
        Ok(Pending { case, storage, activations, by_matrices, path, found })
    }

    /// Whether a row is to be visited again: the visits that count are too few, or do not agree and took less than they may.
    pub fn open(&self, row: &Pending) -> bool {
        let Ok(times) = &row.found else { return false };
        let took: f64 = times.visits.iter().flat_map(|visit| &visit.samples).sum::<f64>() * times.repeats as f64;
        let agree = || times.cold().drift().is_some_and(|drift| drift < SETTLED);
        times.visits.len() < COUNTED || took < AGAIN * self.seconds && !agree()
    }

    /// Times a row once more, some time after the visits before; the quietest visits count.
    ///
    /// # Errors
    /// Those of ops.
    pub fn again(&self, row: &mut Pending) -> Result<()> {
        let Ok(times) = &mut row.found else { return Ok(()) };
        let first = Task::new(row.case, row.storage, self.device, 1)?;
        let mut tasks = self.cold(&row.case, row.storage, vec![first])?;
        let mut next = 0;
        // Once for each on a GPU, which is given weights when they are first used.
        let before = if self.device.is_gpu() { times.sets } else { times.repeats.min(times.sets) };
        self.sample(&mut tasks, &mut next, before)?;
        times.visits.push(self.visit(&mut tasks, &mut next, times.repeats)?);
        Ok(())
    }

    fn measure(&self, case: &Case, storage: Storage, bytes: u64) -> Result<Found> {
        let late = |seconds: f64| {
            let why = format!(
                "{LEAST} runs do not fit into {} s; --time {:.0} would do",
                self.seconds,
                (seconds * LEAST as f64 * 1.1).ceil()
            );
            Ok(Err(Skipped { why, seconds: Some(seconds) }))
        };
        let runs = LEAST as f64;
        let guess = self.guess(case, bytes);
        // The guess may be off by as much; then the first run tells.
        if guess * runs > 4.0 * self.seconds {
            return late(guess);
        }
        if self.memory.is_some_and(|memory| 2 * bytes > memory) {
            let why = format!("its operands of {} MB are more than half of the memory", bytes >> 20);
            return Ok(Err(Skipped { why, seconds: Some(guess) }));
        }
        let mut tasks = vec![Task::new(*case, storage, self.device, 1)?];
        let expected = Expected::new(case, &tasks[0])?;
        let off = expected.compare(&tasks[0].run()?)?;
        let finite = |value: f64| value.is_finite().then_some(value);
        let tolerance = if self.activations(case) == Storage::F16 { TOLERANCE_OF_HALVES } else { TOLERANCE };
        let wrong = off.rel_rms.is_nan() || off.rel_rms > tolerance;
        let (max_abs, rel_rms) = (finite(off.max_abs), finite(off.rel_rms));
        let error = ErrorFigures { samples: off.samples, max_abs, rel_rms, tolerance, wrong };

        let once = self.once(&mut tasks)?;
        if once * runs > self.seconds {
            return late(once);
        }
        let hot = bytes <= self.cache && once * runs <= self.seconds / 2.0;
        let hot = if hot { Some(self.first_visits(&mut tasks, COUNTED)?) } else { None };
        let hot = hot.map(|(clock, repeats, visits)| Timing::of(clock, repeats, 1, &visits));
        let mut tasks = self.cold(case, storage, tasks)?;
        let (clock, repeats, visits) = self.first_visits(&mut tasks, 1)?;
        Ok(Ok(Times { clock, repeats, sets: tasks.len(), visits, hot, error }))
    }

    /// As many sets of operands that no cache holds them, the first of which there is.
    fn cold(&self, case: &Case, storage: Storage, mut tasks: Vec<Task>) -> Result<Vec<Task>> {
        for i in 1..self.sets(bytes(case, storage, self.activations(case))) {
            tasks.push(Task::new(*case, storage, self.device, 1 + i as u64)?);
        }
        Ok(tasks)
    }

    /// What the device keeps for products to read; ops without sums and norms have F32 alone.
    fn activations(&self, case: &Case) -> Storage {
        let halves = self.device.precision() == Precision::Half && case.op() != Op::Elementwise;
        if halves { Storage::F16 } else { Storage::F32 }
    }

    /// Seconds of a run, by the engine's own speeds.
    fn guess(&self, case: &Case, bytes: u64) -> f64 {
        let flop = case.flop() as f64;
        match case.op() {
            Op::Linear => flop / self.probe.linear,
            Op::Attention => flop / self.probe.attention,
            Op::Conv3d => flop / self.probe.conv3d,
            Op::Norm | Op::Elementwise => bytes as f64 / self.probe.moved,
        }
    }

    /// Sets of operands that no cache holds all of; two at least, so that none is what was used last.
    fn sets(&self, bytes: u64) -> usize {
        let past = 2 * self.cache / bytes.max(1) + 2;
        let fit = self.memory.map_or(u64::MAX, |memory| memory / 4 / bytes.max(1));
        past.min(fit).clamp(2, MOST_SETS as u64) as usize
    }

    /// Seconds of a run when the first are over.
    fn once(&self, tasks: &mut [Task]) -> Result<f64> {
        let mut repeats = 1;
        loop {
            let Sample { seconds, .. } = self.sample(tasks, &mut 0, repeats)?;
            if seconds * repeats as f64 >= SAMPLE[0] / 2.0 || repeats >= 1 << 16 {
                return Ok(seconds);
            }
            repeats *= 4;
        }
    }

    /// The first visits of tasks, one right after the other, with what was read and how many runs a sample is the mean of.
    fn first_visits(&self, tasks: &mut [Task], count: usize) -> Result<(Clock, usize, Vec<Visit>)> {
        let (mut next, sets) = (0, tasks.len());
        // Once for each, as a GPU is given weights when they are first used.
        let Sample { seconds, clock, .. } = self.sample(tasks, &mut next, sets)?;
        let repeats = (SAMPLE[usize::from(self.device.is_gpu())] / seconds).ceil().clamp(1.0, 65536.0) as usize;
        self.warm_up(tasks, &mut next, repeats)?;
        let visits = (0..count).map(|_| self.visit(tasks, &mut next, repeats)).collect::<Result<_>>()?;
        Ok((clock, repeats, visits))
    }

    /// Samples of runs that go round the tasks.
    fn visit(&self, tasks: &mut [Task], next: &mut usize, repeats: usize) -> Result<Visit> {
        let mut visit = Visit::default();
        for _ in 0..SAMPLES {
            let Sample { seconds, thread, .. } = self.sample(tasks, next, repeats)?;
            visit.samples.push(seconds);
            visit.threads.extend(thread);
        }
        Ok(visit)
    }

    /// Runs until clocks have settled: the medians of a few samples and of the few before differ by little.
    fn warm_up(&self, tasks: &mut [Task], next: &mut usize, repeats: usize) -> Result<()> {
        const FEW: usize = 3;
        const LITTLE: f64 = 0.02;
        let start = Moment::now();
        let mut before = f64::INFINITY;
        while start.elapsed().0 < 0.05 * self.seconds {
            let mut few = Vec::new();
            for _ in 0..FEW {
                few.push(self.sample(tasks, next, repeats)?.seconds);
            }
            let now = median(&few);
            if (now / before - 1.0).abs() < LITTLE {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// One of so many runs.
    fn sample(&self, tasks: &mut [Task], next: &mut usize, repeats: usize) -> Result<Sample> {
        let start = Moment::now();
        let own = self.device.timed(|| {
            for _ in 0..repeats {
                tasks[*next % tasks.len()].run()?;
                *next = (*next + 1) % tasks.len();
            }
            Ok(())
        })?;
        let (wall, threads) = start.elapsed();
        let each = |seconds: f64| seconds / repeats as f64;
        // While a GPU works, threads only wait.
        let thread = threads.filter(|_| !self.device.is_gpu()).map(each);
        let clock = if own.is_some() { Clock::Device } else { Clock::Wall };
        Ok(Sample { seconds: each(own.unwrap_or(wall)), thread, clock })
    }
}

/// The mean of some runs.
struct Sample {
    seconds: f64,
    /// What threads ran.
    thread: Option<f64>,
    clock: Clock,
}

/// Bytes that a case has to read and write once.
fn bytes(case: &Case, storage: Storage, activations: Storage) -> u64 {
    case.bytes_with(storage.size(), activations.size())
}

/// How often cooperative matrices were at work.
fn cooperative_runs(device: &Device) -> u64 {
    if let Device::Vulkan(vulkan) = device { vulkan.cooperative_runs() } else { 0 }
}

/// Which way the engine goes on a device.
fn path(device: &Device, case: &Case, by_matrices: bool) -> String {
    if let Device::Vulkan(vulkan) = device {
        let tiles = tune::class_of(case, by_matrices).map(|class| format!(", {}", vulkan.tuning().tiles(class)));
        let way = match (vulkan.matrices(), device.precision()) {
            (Some([m, n, k]), _) if by_matrices => format!("cooperative matrices of {m}x{n}x{k}"),
            (_, Precision::Half) => "f16 in f32".to_owned(),
            (_, Precision::Full) => "f32".to_owned(),
        };
        return format!("vulkan, {way}{}", tiles.unwrap_or_default());
    }
    let level = device.to_string().trim_start_matches("cpu ").to_owned();
    let Case::Conv3d(conv) = case else { return level };
    let &Conv3d { frames, height, width, inputs, outputs, kernel, history } = conv;
    let [kt, kh, kw] = kernel;
    let shape = zoetrope_kernels::Conv3d {
        frames,
        height,
        width,
        in_channels: inputs,
        out_channels: outputs,
        kernel,
        stride: [1; 3],
        tail_frames: history,
        pad_front: (kt - 1).saturating_sub(history),
        pad: [kh / 2, kh / 2, kw / 2, kw / 2],
    };
    format!("{level}, {}", if shape.prefers_winograd() { "winograd" } else { "direct" })
}
