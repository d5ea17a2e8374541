//! The run: device after device, row after row.

use std::time::Instant;

use program::devices::DeviceChoice;
use zoetrope::Precision;
use zoetrope::plan::Probe;

use crate::clock;
use crate::devices::{self, Opened};
use crate::measure::{Bench, VISITS};
use crate::peak;
use speeds::case::{Case, Op};
use speeds::error::{Error, Result};
use speeds::machine::{self, Host};
use speeds::peak::Peak;
use speeds::results::{self, DeviceResults, Results, Row, SCHEMA, Storage};
use speeds::suite::Suite;
use speeds::timing::COUNTED;

/// The share of the time of all rows after which none is visited any more.
const WHOLE: f64 = 0.6;
/// A spread above this is warned of.
const NOISY: f64 = 0.05;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; the processor and every GPU if there are none.
    pub devices: Vec<DeviceChoice>,
    /// The shapes.
    pub suite: Suite,
    /// Which of them; all if there are none.
    pub ops: Vec<Op>,
    /// Storage types of weights, one after the other.
    pub precision: Vec<Storage>,
    /// What GPUs keep for products to read.
    pub activations: Precision,
    /// Seconds for each row.
    pub seconds: f64,
}

/// Does something in a pool of so many threads; of as many as there are cores if `None`.
///
/// # Errors
/// [`Error::Request`] if the system does not give the threads.
pub fn with_threads<T: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0)).build();
    let refused = |error: rayon::ThreadPoolBuildError| Error::Request { what: "threads", why: error.to_string() };
    pool.map_err(refused)?.install(work)
}

/// Measures what was asked for; `progress` is told of every row before it begins.
///
/// # Errors
/// Those of opening devices and of ops.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Results> {
    let host = Host::here();
    let mut devices = Vec::new();
    for opened in devices::open(&options.devices, options.activations)? {
        devices.push(device(options, &opened, &host, progress)?);
    }
    Ok(Results {
        schema: SCHEMA,
        date: clock::date(),
        engine: results::engine(),
        host,
        suite: options.suite,
        suite_version: options.suite.version(),
        seconds_per_row: options.seconds,
        devices,
    })
}

/// What devices can do at most.
///
/// # Errors
/// Those of opening devices and of ops.
pub fn peaks(choices: &[DeviceChoice]) -> Result<Vec<(Opened, Peak)>> {
    let measured = |opened: Opened| {
        let peak = peak::measure(&opened.device, opened.info.cache)?;
        Ok((opened, peak))
    };
    // At half precision, where cooperative matrices are at work.
    devices::open(choices, Precision::Half)?.into_iter().map(measured).collect()
}

/// The rows of a suite that were asked for, each with the storage type of its weight.
fn cases(options: &Options) -> Vec<(Case, Storage)> {
    let chosen = options.suite.cases().iter().filter(|case| options.ops.is_empty() || options.ops.contains(&case.op()));
    let typed = |case: &Case| {
        // Without a weight there is nothing to store.
        let types = if case.has_weight() { &options.precision[..] } else { &[Storage::F32] };
        types.iter().map(|&storage| (*case, storage)).collect::<Vec<_>>()
    };
    chosen.flat_map(typed).collect()
}

fn device(options: &Options, opened: &Opened, host: &Host, progress: &mut dyn FnMut(&str)) -> Result<DeviceResults> {
    let Opened { device, info } = opened;
    let (before, start) = (machine::clock(), Instant::now());
    progress(&format!("{}: what it can do at most", info.id));
    let mut peak = peak::measure(device, info.cache)?;
    let probe = Probe::measure(device)?;
    let (cache, memory, seconds) = (info.cache, info.memory, options.seconds);
    let bench = Bench { device, probe, cache, memory, seconds };
    let cases = cases(options);
    let mut rows = Vec::new();
    for (i, (case, storage)) in cases.iter().enumerate() {
        progress(&format!("{}: {} of {}, {case}", info.id, i + 1, cases.len()));
        rows.push(bench.first(*case, *storage)?);
        device.release_unused();
    }
    // All once more, and again: what else a machine does changes over the seconds.
    for visit in 2..=VISITS {
        let open: Vec<_> = rows.iter_mut().filter(|row| bench.open(row)).collect();
        if open.is_empty() {
            break;
        }
        if visit <= COUNTED {
            peak = peak.best(peak::measure(device, info.cache)?);
        }
        for (i, row) in open.into_iter().enumerate() {
            // Enough visits come first, then as many as there is time for.
            if visit > COUNTED && start.elapsed().as_secs_f64() > seconds * cases.len() as f64 * WHOLE {
                break;
            }
            progress(&format!("{}: visit {visit}, {} of {}, {}", info.id, i + 1, cases.len(), row.case));
            bench.again(row)?;
            device.release_unused();
        }
    }
    let rows: Vec<Row> = rows.into_iter().map(|row| row.row(&peak)).collect();
    let clocks = before.zip(machine::clock()).filter(|_| !device.is_gpu()).map(|(before, after)| [before, after]);
    let mut warnings = warnings(&rows);
    if let Some(load) = host.load.filter(|&load| !device.is_gpu() && load > 0.3 * host.cores as f64) {
        let why = format!("the machine was busy when the run began (load {load:.1} on {} cores)", host.cores);
        warnings.push(format!("{why}: thread times count, the others are too long"));
    }
    Ok(DeviceResults { device: info.clone(), peak, clocks, warnings, rows })
}

/// What is odd about rows.
fn warnings(rows: &[Row]) -> Vec<String> {
    let mut warnings = Vec::new();
    let measured = || rows.iter().filter_map(|row| Some((row, row.measured.as_ref()?)));
    for (row, measured) in measured().filter(|(_, measured)| measured.error.wrong) {
        let off = measured.error.rel_rms.map_or("no number".into(), |off| format!("off by {off:.1e}"));
        let allowed = measured.error.tolerance;
        warnings.push(format!("{} is WRONG: {off}, {allowed:.0e} is allowed; its time means nothing", row.case));
    }
    let drifts = || measured().filter_map(|(_, measured)| measured.cold.drift());
    let drifted = drifts().filter(|&drift| drift > NOISY).count();
    if drifted > 0 {
        let (all, percent) = (drifts().count(), NOISY * 100.0);
        let why = format!("{drifted} of {all} rows differ by more than {percent:.0} % even in their quietest visits");
        warnings.push(format!("{why}: the machine's speed changes"));
    }
    let noise = |measured: &results::Measured| {
        let cold = &measured.cold;
        cold.thread.as_ref().map_or(cold.summary, |thread| thread.summary).noise()
    };
    let noisy = measured().filter(|(_, measured)| noise(measured) > NOISY).count();
    if noisy > 0 {
        let all = measured().count();
        let why = format!("{noisy} of {all} rows spread by more than {:.0} % (MAD)", NOISY * 100.0);
        warnings.push(format!("{why}: close other programs, or give each row more --time"));
    }
    warnings
}
