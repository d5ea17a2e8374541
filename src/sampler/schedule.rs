//! Step grids: at which noise levels the transformer is asked, and with which timestep.

use std::fmt;
use std::str::FromStr;

use super::config::{MAX_SHIFT, SchedulerClass, SchedulerConfig};
use crate::error::{Error, Result};

/// Training timesteps of every Wan model; a timestep is this times sigma.
pub(super) const TRAIN_STEPS: f64 = 1000.0;
/// The most steps that a grid may have.
const MAX_STEPS: usize = 1000;
/// What the diffusers grid takes off a first sigma of 1, whose signal-to-noise ratio has no logarithm.
pub(super) const NUDGE: f64 = 1e-6;
/// The shift that step-distilled Wan checkpoints are trained with.
const DISTILLED_SHIFT: f64 = 5.0;

/// The noise levels of a run and the timesteps that go with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    sigmas: Vec<f32>,
    timesteps: Vec<f32>,
}

impl Grid {
    /// The noise levels, strictly decreasing, one more than there are steps: the last is 0.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What the transformer is told of each step's noise level, in training timesteps (0 to 1000).
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The number of steps, at least 1.
    pub fn steps(&self) -> usize {
        self.timesteps.len()
    }

    /// The grid of these very sigmas: no shift, timesteps of 1000 sigma unrounded, 0 appended (and tolerated at the end).
    ///
    /// `steps` is what the user asked for besides, if anything.
    ///
    /// # Errors
    /// [`Error::Request`] if a sigma is not in (0, 1], they do not strictly decrease, or their number is not `steps`.
    pub fn custom(sigmas: &[f64], steps: Option<usize>) -> Result<Self> {
        let refuse = |why: String| Err(Error::Request { what: "sigmas", why });
        let sigmas = match sigmas {
            [rest @ .., last] if *last == 0.0 => rest,
            all => all,
        };
        if let Some(bad) = sigmas.iter().find(|s| !(**s > 0.0 && **s <= 1.0)) {
            return refuse(format!("{bad} is not a noise level: each is above 0 and at most 1 (a final 0 is implied)"));
        }
        if let Some(steps) = steps.filter(|&steps| steps != sigmas.len()) {
            return refuse(format!(
                "{} noise levels make {0} steps, not {steps}: leave the number of steps out or make it {0}",
                sigmas.len()
            ));
        }
        Self::new("sigmas", sigmas.to_vec(), |sigma| (sigma * TRAIN_STEPS) as f32)
    }

    /// Rounds the sigmas, appends 0 and checks that they decrease; `what` is the request's field to blame if not.
    fn new(what: &'static str, sigmas: Vec<f64>, timestep: impl Fn(f64) -> f32) -> Result<Self> {
        let refuse = |why: String| Err(Error::Request { what, why });
        if sigmas.is_empty() || sigmas.len() > MAX_STEPS {
            return refuse(format!("{} steps asked for: there must be 1 to {MAX_STEPS}", sigmas.len()));
        }
        let timesteps = sigmas.iter().map(|&s| timestep(s)).collect();
        let sigmas: Vec<f32> = sigmas.iter().map(|&s| s as f32).chain([0.0]).collect();
        if let Some(i) = sigmas.windows(2).position(|pair| pair[1] >= pair[0] || pair[0].is_nan()) {
            return refuse(format!(
                "the noise level of step {} is {} and is followed by {}: noise levels must strictly decrease",
                i + 1,
                sigmas[i],
                sigmas[i + 1]
            ));
        }
        Ok(Self { sigmas, timesteps })
    }
}

/// A named way to lay out the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// The grid of the scheduler class that the checkpoint names, as diffusers 0.42.1 computes it.
    ///
    /// For `UniPCMultistepScheduler` with flow sigmas: 1 to 0.001 evenly, shifted, a first sigma of 1 lowered by 1e-6,
    /// timesteps cut to integers. For `FlowMatchEulerDiscreteScheduler`: shifted bounds, evenly between, shifted once
    /// more, timesteps unrounded.
    #[default]
    Diffusers,
    /// The grid of the Wan repositories: 0.999 to 0 evenly, shifted, timesteps cut to integers.
    Native,
    /// The grid of step-distilled checkpoints: 1 to 0 evenly, shifted (by 5 unless told otherwise), timesteps unrounded.
    Distilled,
}

impl Schedule {
    const NAMES: [(Self, &str); 3] =
        [(Self::Diffusers, "diffusers"), (Self::Native, "native"), (Self::Distilled, "distilled")];

    /// The shift that applies when none is asked for: the checkpoint's, but 5 for distilled checkpoints.
    pub fn default_shift(self, config: &SchedulerConfig) -> f64 {
        match self {
            Self::Diffusers | Self::Native => config.shift(),
            Self::Distilled => DISTILLED_SHIFT,
        }
    }

    /// The grid of this many steps for a checkpoint's scheduler; `shift` overrides [`Self::default_shift`].
    ///
    /// A shift s moves sigma to s sigma / (1 + (s - 1) sigma).
    ///
    /// # Errors
    /// [`Error::Request`] if `steps` is not in 1 to 1000 or `shift` not above 0 and at most 1000, or if so large a shift
    /// at so many steps makes neighbouring noise levels equal.
    pub fn grid(self, config: &SchedulerConfig, steps: usize, shift: Option<f64>) -> Result<Grid> {
        let shift = shift.unwrap_or_else(|| self.default_shift(config));
        if !(1..=MAX_STEPS).contains(&steps) {
            let why = format!("{steps} steps asked for: there must be 1 to {MAX_STEPS}");
            return Err(Error::Request { what: "steps", why });
        }
        if !(shift > 0.0 && shift <= MAX_SHIFT) {
            let why = format!("{shift} asked for: it must be above 0 and at most {MAX_SHIFT}");
            return Err(Error::Request { what: "shift", why });
        }
        let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
        let cut = |sigma: f64| (sigma * TRAIN_STEPS).trunc() as f32;
        match (self, config.class()) {
            (Self::Diffusers, SchedulerClass::UniPcMultistep) => {
                let mut sigmas: Vec<f64> = spread(1.0, 1.0 / TRAIN_STEPS, steps, steps).map(shifted).collect();
                if (sigmas[0] - 1.0).abs() < NUDGE {
                    sigmas[0] -= NUDGE;
                }
                Grid::new("shift", sigmas, cut)
            }
            (Self::Diffusers, SchedulerClass::FlowMatchEulerDiscrete) => {
                // The class shifts its bounds once, in single precision, and then all of the grid again.
                let (s, less) = (shift as f32, (shift - 1.0) as f32);
                let bound = |sigma: f32| f64::from(s * sigma / (1.0 + less * sigma)) * TRAIN_STEPS;
                let grid = spread(bound(1.0), bound(1.0 / TRAIN_STEPS as f32), steps, (steps - 1).max(1));
                let sigmas = grid.map(|t| shifted(t / TRAIN_STEPS)).collect();
                Grid::new("shift", sigmas, |sigma| sigma as f32 * TRAIN_STEPS as f32)
            }
            (Self::Native, _) => {
                // 0.999 went through single precision there.
                Grid::new("shift", spread(f64::from(0.999_f32), 0.0, steps, steps).map(shifted).collect(), cut)
            }
            (Self::Distilled, _) => {
                let sigmas = spread(1.0, 0.0, steps, steps).map(shifted).collect();
                Grid::new("shift", sigmas, |sigma| (sigma * TRAIN_STEPS) as f32)
            }
        }
    }
}

/// The first `count` of the points that cut `start..stop` into `parts` even parts, rounded as `numpy.linspace` rounds.
fn spread(start: f64, stop: f64, count: usize, parts: usize) -> impl Iterator<Item = f64> {
    let step = (stop - start) / parts as f64;
    // numpy sets the last point to `stop` itself.
    (0..count).map(move |i| if i == parts { stop } else { i as f64 * step + start })
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize].1)
    }
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::NAMES.iter().find(|(_, n)| *n == name).map(|(schedule, _)| *schedule).ok_or_else(|| Error::Request {
            what: "schedule",
            why: format!("there is no schedule {name:?}: choose diffusers, native or distilled"),
        })
    }
}
