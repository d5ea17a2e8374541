//! What a job is asked for: a program's flags or request before the recipe, the recipe before the checkpoint's defaults.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

use zoetrope::models::wan;
use zoetrope::sampler::{Grid, Sampler, Schedule};
use zoetrope::video::FrameRate;
use zoetrope::{Device, Error, Pipeline, Prompt, Request, Result, Steps};

use crate::identity;
use crate::recipe::{CheckpointId, Recipe};

/// What a program was asked for; `None` leaves a setting to the recipe or the checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// What the video shows.
    pub prompt: Option<String>,
    /// What it does not show.
    pub negative_prompt: Option<String>,
    /// Width and height in pixels.
    pub size: Option<(usize, usize)>,
    /// Number of frames; `seconds` come before it.
    pub frames: Option<usize>,
    /// Length in seconds, rounded to the nearest number of frames that the model can make.
    pub seconds: Option<f64>,
    /// Frames per second.
    pub fps: Option<FrameRate>,
    /// Sampling steps.
    pub steps: Option<usize>,
    /// Scale of classifier-free guidance.
    pub guidance: Option<f32>,
    /// Seed of the noise.
    pub seed: Option<Seed>,
    /// The solver.
    pub sampler: Option<Sampler>,
    /// The step grid.
    pub schedule: Option<Schedule>,
    /// The shift of the step grid.
    pub shift: Option<f64>,
    /// The noise levels themselves, largest first.
    pub sigmas: Option<Vec<f64>>,
    /// The edge of a pixel in the file.
    pub zoom: Option<u16>,
}

/// A seed that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// A new one for each job.
    Random,
    /// This one.
    Fixed(u64),
}

impl Seed {
    fn value(self) -> u64 {
        match self {
            Self::Random => random_seed(),
            Self::Fixed(seed) => seed,
        }
    }
}

/// Reads a whole number; -1 asks for a random seed, as in other programs.
impl FromStr for Seed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text == "-1" {
            return Ok(Self::Random);
        }
        text.parse().map(Self::Fixed).map_err(|_| {
            let why = format!("{text:?} is none; give a whole number from 0 to {}, or -1 for a random one", u64::MAX);
            Error::Request { what: "seed", why }
        })
    }
}

/// A request, and what is beside it.
pub struct Settings {
    /// What the video shows; empty if there is no prompt.
    pub prompt: String,
    /// What it does not show.
    pub negative_prompt: String,
    /// The edge of a pixel in the file.
    pub zoom: u16,
    /// Without latents of a file.
    pub request: Request,
}

impl Settings {
    /// Merges; without any prompt the request is for the longest one, for plans.
    ///
    /// # Errors
    /// [`Error::Request`] naming what cannot be.
    pub fn new(asked: &Overrides, recipe: Option<&Recipe>, pipeline: &Pipeline) -> Result<Self> {
        let defaults = pipeline.defaults();
        let prompt = asked.prompt.clone().or_else(|| recipe.map(|recipe| recipe.prompt.clone()));
        let negative_prompt = (asked.negative_prompt.clone())
            .or_else(|| recipe.map(|recipe| recipe.negative_prompt.clone()))
            .unwrap_or_else(|| defaults.negative_prompt.clone());
        let longest = || Prompt::Tokens(vec![0; wan::MAX_TEXT_TOKENS]);
        let base = Request::new(prompt.as_deref().map_or_else(longest, Prompt::from), negative_prompt.as_str().into());
        let fps = asked.fps.or(recipe.map(|recipe| recipe.fps)).unwrap_or(defaults.fps);
        let (width, height) =
            (asked.size).or(recipe.map(|r| (r.width, r.height))).unwrap_or((defaults.width, defaults.height));
        let frames = match asked.seconds {
            Some(seconds) => frames_of(seconds, pipeline, fps)?,
            None => asked.frames.or(recipe.map(|recipe| recipe.frames)).unwrap_or(defaults.frames),
        };
        let sampler = match (asked.sampler, recipe) {
            (Some(sampler), _) => Some(sampler),
            (None, Some(recipe)) => Some(recipe.sampler.parse::<Sampler>()?),
            (None, None) => None,
        };
        let request = Request {
            width,
            height,
            frames,
            fps,
            steps: steps(asked, recipe, defaults.steps)?,
            sampler,
            guidance: asked.guidance.or(recipe.map(|recipe| recipe.guidance)).unwrap_or(defaults.guidance),
            seed: asked.seed.or(recipe.map(|r| Seed::Fixed(r.seed))).unwrap_or(Seed::Random).value(),
            ..base
        };
        let zoom = asked.zoom.or(recipe.map(|recipe| recipe.zoom)).unwrap_or(defaults.zoom as u16);
        Ok(Self { prompt: prompt.unwrap_or_default(), negative_prompt, zoom, request })
    }

    /// How to make this video again. `latents` is the hash of those that took the place of noise.
    ///
    /// # Errors
    /// Those of [`Pipeline::schedule`] and of reading the checkpoint's files.
    pub fn recipe(&self, pipeline: &Pipeline, device: &Device, latents: Option<String>) -> Result<Recipe> {
        let request = &self.request;
        let scheduler = pipeline.scheduler()?;
        let (grid, sampler) = pipeline.schedule(request)?;
        let (schedule, shift, sigmas) = match &request.steps {
            Steps::Schedule { schedule, shift, .. } => {
                (Some(schedule.to_string()), Some(shift.unwrap_or_else(|| schedule.default_shift(scheduler))), None)
            }
            Steps::Sigmas(sigmas) => (None, None, Some(sigmas.clone())),
        };
        Ok(Recipe {
            recipe: Recipe::VERSION,
            engine: identity::engine(),
            build: Some(identity::build()),
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            seed: request.seed,
            width: request.width,
            height: request.height,
            frames: request.frames,
            fps: request.fps,
            zoom: self.zoom,
            steps: grid.steps(),
            schedule,
            shift,
            sigmas,
            sampler: sampler.to_string(),
            guidance: request.guidance,
            checkpoint: checkpoint_id(pipeline)?,
            device: identity::device(device),
            precision: device.precision().to_string(),
            latents,
        })
    }
}

/// The folder's name and the hash that tells it from others.
///
/// # Errors
/// Those of reading the checkpoint's files.
pub fn checkpoint_id(pipeline: &Pipeline) -> Result<CheckpointId> {
    let checkpoint = pipeline.checkpoint();
    // The name alone: where people keep their files is nobody's business.
    let real = checkpoint.folder().canonicalize().unwrap_or_else(|_| checkpoint.folder().to_owned());
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(CheckpointId { name, fingerprint: checkpoint.fingerprint()? })
}

fn steps(asked: &Overrides, recipe: Option<&Recipe>, default: usize) -> Result<Steps> {
    if let Some(sigmas) = &asked.sigmas {
        Grid::custom(sigmas, asked.steps)?;
        return Ok(Steps::Sigmas(sigmas.clone()));
    }
    let on_grid = asked.steps.is_some() || asked.schedule.is_some() || asked.shift.is_some();
    if let Some(sigmas) = recipe.and_then(|recipe| recipe.sigmas.as_ref()).filter(|_| !on_grid) {
        return Ok(Steps::Sigmas(sigmas.clone()));
    }
    let recorded = recipe.and_then(|recipe| recipe.schedule.as_deref());
    let schedule = match (asked.schedule, recorded) {
        (Some(schedule), _) => schedule,
        (None, Some(recorded)) => recorded.parse::<Schedule>()?,
        (None, None) => Schedule::default(),
    };
    // Another grid comes with its own shift.
    let recorded = recipe.and_then(|recipe| recipe.shift).filter(|_| asked.schedule.is_none());
    let steps = asked.steps.or(recipe.map(|recipe| recipe.steps)).unwrap_or(default);
    Ok(Steps::Schedule { schedule, steps, shift: asked.shift.or(recorded) })
}

/// The model's nearest number of frames for a length in seconds.
fn frames_of(seconds: f64, pipeline: &Pipeline, fps: FrameRate) -> Result<usize> {
    let refuse = |why| Err(Error::Request { what: "seconds", why });
    if seconds.is_nan() || seconds <= 0.0 {
        return refuse(format!("{seconds} is no length: it must be above 0, in seconds"));
    }
    let most = pipeline.most_frames()?;
    let frames = (seconds * fps.as_f64()).round();
    if frames > most as f64 {
        // Rounded down, so that what is named can be asked for.
        let longest = (most as f64 / fps.as_f64() * 100.0).floor() / 100.0;
        return refuse(format!(
            "{seconds} is too long; this model makes at most {longest} s at {fps} fps ({most} frames)"
        ));
    }
    pipeline.nearest_frames(frames as usize)
}

/// A seed that nobody chose; short enough to be typed again.
fn random_seed() -> u64 {
    u64::from(RandomState::new().build_hasher().finish() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_whole_numbers_and_one_means_random() {
        let read = |text: &str| text.parse::<Seed>().ok();
        assert_eq!(read("7"), Some(Seed::Fixed(7)));
        assert_eq!(read("18446744073709551615"), Some(Seed::Fixed(u64::MAX)));
        assert_eq!(read("-1"), Some(Seed::Random));
        assert!(["-2", "-0.5", "1.5", "18446744073709551616", "", "x"].iter().all(|text| read(text).is_none()));
        let why = "-2".parse::<Seed>().unwrap_err().to_string();
        assert!(why.contains("seed") && why.contains("-1 for a random one"), "{why}");
    }
}
