//! What a run is asked for: flags before the recipe, the recipe before the checkpoint's defaults.

use std::hash::{BuildHasher, Hasher, RandomState};

use zoetrope::models::wan;
use zoetrope::sampler::{Grid, Sampler, Schedule};
use zoetrope::{Error, Pipeline, Prompt, Request, Result, Steps};

use crate::args::Args;
use crate::recipe::{CheckpointId, Recipe};

/// A request, and what is beside it.
pub struct Settings {
    pub prompt: String,
    pub negative_prompt: String,
    /// The edge of a pixel in the file.
    pub zoom: u16,
    /// Without latents of a file.
    pub request: Request,
}

impl Settings {
    /// Merges; reads a prompt from standard input if asked to.
    pub fn new(args: &Args, recipe: Option<&Recipe>, pipeline: &Pipeline) -> Result<Self> {
        let defaults = pipeline.defaults();
        let prompt = args.prompt()?.or_else(|| recipe.map(|recipe| recipe.prompt.clone()));
        let negative_prompt = (args.negative_prompt.clone())
            .or_else(|| recipe.map(|recipe| recipe.negative_prompt.clone()))
            .unwrap_or_else(|| defaults.negative_prompt.clone());
        // A plan can do without a prompt: it is then that of the longest one.
        let longest = || Prompt::Tokens(vec![0; wan::MAX_TEXT_TOKENS]);
        let base = Request::new(prompt.as_deref().map_or_else(longest, Prompt::from), negative_prompt.as_str().into());
        let fps = args.fps.or(recipe.map(|recipe| recipe.fps)).unwrap_or(defaults.fps);
        let (width, height) =
            (args.size).or(recipe.map(|r| (r.width, r.height))).unwrap_or((defaults.width, defaults.height));
        let frames = match args.seconds {
            Some(seconds) => frames_of(seconds, pipeline, fps)?,
            None => args.frames.or(recipe.map(|recipe| recipe.frames)).unwrap_or(defaults.frames),
        };
        let sampler = match (args.sampler, recipe) {
            (Some(sampler), _) => Some(sampler.into()),
            (None, Some(recipe)) => Some(recipe.sampler.parse::<Sampler>()?),
            (None, None) => None,
        };
        let request = Request {
            width,
            height,
            frames,
            fps,
            steps: steps(args, recipe, defaults.steps)?,
            sampler,
            guidance: args.guidance.or(recipe.map(|recipe| recipe.guidance)).unwrap_or(defaults.guidance),
            seed: args.seed.or(recipe.map(|recipe| recipe.seed)).unwrap_or_else(random_seed),
            ..base
        };
        let zoom = args.zoom.or(recipe.map(|recipe| recipe.zoom)).unwrap_or(defaults.zoom as u16);
        Ok(Self { prompt: prompt.unwrap_or_default(), negative_prompt, zoom, request })
    }

    /// How to make this video again. `latents` is the hash of those that took the place of noise.
    pub fn recipe(&self, pipeline: &Pipeline, device: &str, latents: Option<String>) -> Result<Recipe> {
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
            engine: engine(),
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
            device: device.to_owned(),
            precision: "f32".into(),
            latents,
        })
    }
}

/// What runs here, and would have to run again for the same bits.
pub fn engine() -> String {
    format!("zoetrope {}", env!("CARGO_PKG_VERSION"))
}

/// The folder's name and the hash that tells it from others.
pub fn checkpoint_id(pipeline: &Pipeline) -> Result<CheckpointId> {
    let checkpoint = pipeline.checkpoint();
    // The name alone: where people keep their files is nobody's business.
    let real = checkpoint.folder().canonicalize().unwrap_or_else(|_| checkpoint.folder().to_owned());
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(CheckpointId { name, fingerprint: checkpoint.fingerprint()? })
}

fn steps(args: &Args, recipe: Option<&Recipe>, default: usize) -> Result<Steps> {
    if let Some(sigmas) = &args.sigmas {
        Grid::custom(sigmas, args.steps)?;
        return Ok(Steps::Sigmas(sigmas.clone()));
    }
    let on_grid = args.steps.is_some() || args.schedule.is_some() || args.shift.is_some();
    if let Some(sigmas) = recipe.and_then(|recipe| recipe.sigmas.as_ref()).filter(|_| !on_grid) {
        return Ok(Steps::Sigmas(sigmas.clone()));
    }
    let recorded = recipe.and_then(|recipe| recipe.schedule.as_deref());
    let schedule = match (args.schedule, recorded) {
        (Some(schedule), _) => schedule.into(),
        (None, Some(recorded)) => recorded.parse::<Schedule>()?,
        (None, None) => Schedule::default(),
    };
    // Another grid comes with its own shift.
    let recorded = recipe.and_then(|recipe| recipe.shift).filter(|_| args.schedule.is_none());
    let steps = args.steps.or(recipe.map(|recipe| recipe.steps)).unwrap_or(default);
    Ok(Steps::Schedule { schedule, steps, shift: args.shift.or(recorded) })
}

/// The model's nearest number of frames for so many seconds.
fn frames_of(seconds: f64, pipeline: &Pipeline, fps: u32) -> Result<usize> {
    if !(seconds > 0.0 && seconds < 1e6) {
        let why = format!("{seconds} is no length: it must be above 0, in seconds");
        return Err(Error::Request { what: "seconds", why });
    }
    pipeline.nearest_frames((seconds * f64::from(fps)).round() as usize)
}

/// A seed that nobody chose; short enough to be typed again.
fn random_seed() -> u64 {
    u64::from(RandomState::new().build_hasher().finish() as u32)
}
