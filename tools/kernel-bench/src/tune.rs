//! Which sizes of parts a GPU does best with, found by trying them.

use std::path::PathBuf;

use zoetrope::internals::tuning::{Class, TileSizes, Tuning};
use zoetrope::plan::Probe;
use zoetrope::{Device, DeviceOptions, Precision};

use crate::clock::Moment;
use crate::show;
use crate::task::Task;
use program::devices;
use speeds::case::{Attention, Case, Conv3d, Linear};
use speeds::error::{Error, Result};
use speeds::results::Storage;
use speeds::stats::{geometric_mean, median};
use speeds::suite::Suite;

/// Shapes that a class is tried at, at most: the largest that do not take long.
const SHAPES: usize = 3;
const LONG: f64 = 0.05;
/// Samples of a shape, and seconds of one, at least.
const SAMPLES: usize = 5;
const SAMPLE: f64 = 0.005;
/// Gains below this are noise.
const GAIN: f64 = 0.03;

/// What was found for a class.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub class: Class,
    /// What it does best with.
    pub tiles: TileSizes,
    /// Time with the usual sizes over time with these.
    pub gain: f64,
    /// How many sizes were tried, of how many.
    pub tried: [usize; 2],
}

/// Tries the sizes of every class on a GPU, for at most so many seconds each, and keeps the best where the engine looks for
/// them; returns them with the file, if the system has a place for it.
///
/// # Errors
/// [`Error::Request`] if the device is the processor; those of ops; [`Error::Engine`] if the file cannot be written.
pub fn tune(device: &Device, seconds: f64, progress: &mut dyn FnMut(&str)) -> Result<(Vec<Found>, Option<PathBuf>)> {
    let Device::Vulkan(vulkan) = device else {
        let why = "the processor's kernels have one way alone; name a GPU, as `devices` lists them".into();
        return Err(Error::Request { what: "device", why });
    };
    let index = vulkan.info().index;
    let (probe, mut found, mut tuning) = (Probe::measure(device)?, Vec::new(), Tuning::default());
    let has_matrices = vulkan.matrices().is_some();
    for class in Class::all().filter(|class| has_matrices || !class.is_cooperative()) {
        let cases = cases(class, &probe);
        if cases.is_empty() {
            continue;
        }
        let (start, choices) = (Moment::now(), class.tile_sizes());
        let mut times: Vec<(TileSizes, f64)> = Vec::new();
        for (i, &tiles) in choices.iter().enumerate() {
            if i > 0 && start.elapsed().0 > seconds {
                break;
            }
            progress(&format!("{class}: {} of {}, {tiles}", i + 1, choices.len()));
            match time(index, class, tiles, &cases) {
                Ok(seconds) => times.push((tiles, seconds)),
                // Some drivers do not compile all that they should.
                Err(Error::Engine(zoetrope::Error::Device { .. })) if i > 0 => {}
                Err(error) => return Err(error),
            }
        }
        let usual = times.first().map_or(f64::NAN, |(_, seconds)| *seconds);
        let best =
            times.iter().min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, seconds)| seconds * (1.0 + GAIN) < usual);
        let (tiles, gain) = best.map_or((class.usual(), 1.0), |&(tiles, seconds)| (tiles, usual / seconds));
        tuning = tuning.with(class, tiles);
        found.push(Found { class, tiles, gain, tried: [times.len(), choices.len()] });
    }
    let file = devices::pipelines().map(|folder| device.save_tuning(&folder, &tuning)).transpose()?;
    Ok((found, file))
}

/// Shapes of a class out of the quick suite, as large as a device does in short time.
fn cases(class: Class, probe: &Probe) -> Vec<Case> {
    let seconds = |case: &Case| match case {
        Case::Linear(_) => case.flop() as f64 / probe.linear,
        Case::Attention(_) => case.flop() as f64 / probe.attention,
        _ => case.flop() as f64 / probe.conv3d,
    };
    let mut cases: Vec<Case> = Suite::Quick
        .cases()
        .iter()
        .filter(|case| class_of(case, class.is_cooperative()) == Some(class))
        .copied()
        .collect();
    cases.sort_by_key(|case| std::cmp::Reverse(case.flop()));
    // The smallest whatever it takes.
    let first = cases.iter().position(|case| seconds(case) < LONG).unwrap_or(cases.len().saturating_sub(1));
    cases.into_iter().skip(first).take(SHAPES).collect()
}

/// The class of a case whose shader has tile sizes: that for cooperative matrices or the other one.
pub fn class_of(case: &Case, by_matrices: bool) -> Option<Class> {
    match *case {
        Case::Linear(Linear { rows, .. }) if by_matrices => Some(Class::linear_cooperative(rows)),
        Case::Conv3d(Conv3d { outputs, .. }) if by_matrices => Some(Class::conv3d_cooperative(outputs)),
        Case::Attention(_) if by_matrices => None,
        Case::Linear(Linear { rows, n, .. }) => Some(Class::linear(rows, n)),
        Case::Conv3d(Conv3d { frames, height, width, outputs, .. }) => {
            Some(Class::conv3d(frames * height * width, outputs))
        }
        Case::Attention(Attention { head_dim, .. }) => Some(Class::attention(head_dim)),
        _ => None,
    }
}

/// The geometric mean of the seconds that cases take with some sizes.
fn time(index: usize, class: Class, tiles: TileSizes, cases: &[Case]) -> Result<f64> {
    let options = DeviceOptions {
        precision: if class.is_cooperative() { Precision::Half } else { Precision::Full },
        tuning: Some(Tuning::default().with(class, tiles)),
        pipeline_cache: devices::pipelines(),
        ..DeviceOptions::default()
    };
    let device = Device::vulkan(index, options)?;
    let mut all = Vec::new();
    for case in cases {
        let mut task = Task::new(*case, Storage::Bf16, &device, 1)?;
        let mut sample = |repeats: usize| -> Result<f64> {
            let start = Moment::now();
            let own = device.timed(|| (0..repeats).try_for_each(|_| task.run().map(drop)))?;
            Ok(own.unwrap_or_else(|| start.elapsed().0) / repeats as f64)
        };
        // Compiles the shader and brings the weight over.
        sample(1)?;
        let repeats = (SAMPLE / sample(1)?).ceil().clamp(1.0, 4096.0) as usize;
        all.push(median(&(0..SAMPLES).map(|_| sample(repeats)).collect::<Result<Vec<_>>>()?));
    }
    Ok(geometric_mean(all))
}

/// What was found, in columns.
pub fn text(found: &[Found]) -> String {
    let mut table = vec![["class", "best sizes", "", "gain", "tried"].map(str::to_owned).to_vec()];
    for Found { class, tiles, gain, tried: [tried, of] } in found {
        let gain = if *gain > 1.0 { format!("{gain:.2}") } else { String::new() };
        table.push(vec![class.to_string(), tiles.to_string(), String::new(), gain, format!("{tried} of {of}")]);
    }
    show::aligned(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_shapes_of_their_own() {
        let probe = Probe { linear: 1e12, attention: 1e12, conv3d: 1e12, moved: 1e11 };
        for class in Class::all() {
            let cases = cases(class, &probe);
            assert!(cases.iter().all(|case| class_of(case, class.is_cooperative()) == Some(class)));
            // The quick suite has none of these: they keep the usual sizes.
            let rare = ["linear few narrow", "linear many narrow", "conv3d few wide"];
            assert_eq!(cases.is_empty(), rare.contains(&class.to_string().as_str()), "{class}");
        }
    }

    #[test]
    fn a_processor_is_refused_by_name() {
        let error = tune(&Device::cpu().unwrap(), 1.0, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("name a GPU"), "{error}");
    }
}
