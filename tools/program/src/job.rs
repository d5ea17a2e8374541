//! A job: a checkpoint, a device and what to make with them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use hmac_sha256::Hash as Sha256;
use zoetrope::plan::Plan;
use zoetrope::weights::Mapping;
use zoetrope::{Device, Error, Pipeline, Precision, Prompt, Result, SimdLevel, load_latents};

use crate::devices::{self, DeviceChoice, DeviceSettings};
use crate::events::{Event, OnEvent};
use crate::hash::hex;
use crate::plan::{self, Planned};
use crate::recipe::Recipe;
use crate::settings::{Overrides, Settings, checkpoint_id};
use crate::text_cache::TextCache;
use crate::{bundled, identity};

/// What a job is opened with, as plain data.
#[derive(Clone, Default)]
pub struct JobOptions {
    /// The checkpoint's folder; the recipe's if that is the bundled one, or else the bundled one, if `None`.
    pub model: Option<PathBuf>,
    /// How its files are read.
    pub mapping: Mapping,
    /// The recipe to follow.
    pub recipe: Option<Recipe>,
    /// What is asked for, before the recipe and the checkpoint's defaults.
    pub settings: Overrides,
    /// A file of latents to start from in place of noise.
    pub latents: Option<PathBuf>,
    /// Where to compute; the recipe's device, or else the best, if `None`.
    pub device: Option<DeviceChoice>,
    /// How the device is opened; a recipe's precision, instruction set and way of convolving are added if they are open.
    pub device_settings: DeviceSettings,
    /// Where embeddings of prompts are kept, if anywhere.
    pub text_cache: Option<TextCache>,
}

/// A job that is ready to run.
pub struct Job {
    /// The checkpoint.
    pub pipeline: Pipeline,
    /// The device.
    pub device: Device,
    /// What to make.
    pub settings: Settings,
    pub(crate) recipe: Option<Recipe>,
    pub(crate) latents: Option<PathBuf>,
    pub(crate) text_cache: Option<TextCache>,
    /// Whether a length was asked for in seconds.
    pub(crate) in_seconds: bool,
    pub(crate) opened: Instant,
    choice: DeviceChoice,
    device_settings: DeviceSettings,
}

impl Job {
    /// Opens a device and a checkpoint and settles what to make; reads no weights.
    ///
    /// # Errors
    /// [`Error::Request`] for what cannot be; those of opening devices and checkpoints and of the tokenizer.
    pub fn open(options: JobOptions, events: OnEvent) -> Result<Self> {
        let opened = Instant::now();
        let JobOptions { model, mapping, recipe, settings: asked, latents, device, device_settings, text_cache } =
            options;
        let (choice, device_settings) = placed(device, device_settings, recipe.as_ref());
        let device = devices::open(&choice, &device_settings, events)?;
        let pipeline = open_model(model.as_deref(), mapping, recipe.as_ref())?;
        let mut settings = Settings::new(&asked, recipe.as_ref(), &pipeline)?;
        pipeline.check(&settings.request)?;
        // Once and for all: a large vocabulary takes its time.
        let request = &mut settings.request;
        let tell = &mut |progress| Event::of(progress, opened).into_iter().for_each(&mut *events);
        let mut ids = pipeline.tokenize(&request.prompts(), tell)?.into_iter().map(Prompt::Tokens);
        let (prompt, negative) = (ids.next(), ids.next());
        request.prompt = prompt.unwrap_or_else(|| request.prompt.clone());
        request.negative_prompt = negative.unwrap_or_else(|| request.negative_prompt.clone());
        let in_seconds = asked.seconds.is_some();
        Ok(Self {
            pipeline,
            device,
            settings,
            recipe,
            latents,
            text_cache,
            in_seconds,
            opened,
            choice,
            device_settings,
        })
    }

    /// What the run would take, with times.
    ///
    /// # Errors
    /// Those of [`Pipeline::plan`] and of measuring the device.
    pub fn planned(&self) -> Result<Planned> {
        plan::planned(&self.pipeline, &self.device, &self.settings.request)
    }

    /// Checks the run against the device's memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn check_memory(&self, plan: &Plan) -> Result<()> {
        plan::check(plan, &self.device)
    }

    /// Whether the limit of memory is one that was asked for.
    pub fn has_asked_memory(&self) -> bool {
        self.device_settings.memory.is_some() && self.device_settings.memory == self.device.memory_budget()
    }

    /// What the run takes; on the processor if it does not fit into a GPU that nobody asked for.
    pub(crate) fn fit(&mut self, events: OnEvent) -> Result<Plan> {
        match plan::fitting(&self.pipeline, &self.device, &self.settings.request) {
            Err(error @ Error::OutOfMemory { .. }) if self.device.is_gpu() && self.choice == DeviceChoice::Auto => {
                events(Event::warning(format!("too much for {}, so the processor computes: {error}", self.device)));
                // Half precision was the GPU's.
                let settings = DeviceSettings { precision: None, ..self.device_settings.clone() };
                self.device = devices::open(&DeviceChoice::Cpu, &settings, events)?;
                plan::fitting(&self.pipeline, &self.device, &self.settings.request)
            }
            outcome => outcome,
        }
    }

    /// Puts the latents of a file in place of noise, and returns their hash.
    pub(crate) fn take_latents(&mut self) -> Result<Option<String>> {
        let Some(path) = &self.latents else {
            if self.recipe.as_ref().is_some_and(|recipe| recipe.latents.is_some()) {
                let why = "the recipe starts from latents of a file of their own; give it with --latents FILE".into();
                return Err(Error::Request { what: "latents", why });
            }
            return Ok(None);
        };
        let expected = self.pipeline.latent_shape(&self.settings.request)?;
        let (found, values) = load_latents(path)?;
        if found != expected {
            let why = format!("{} holds {found:?}, this size needs {expected:?}", path.display());
            return Err(Error::Request { what: "latents", why });
        }
        let mut hash = Sha256::new();
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        self.settings.request.latents = Some(values);
        Ok(Some(hex(hash)))
    }

    /// In what this run differs from the one whose recipe it follows, other than by settings.
    pub(crate) fn differences(&self, latents: Option<&str>) -> Result<Vec<String>> {
        let Some(recipe) = &self.recipe else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let here = checkpoint_id(&self.pipeline)?;
        if here.fingerprint != recipe.checkpoint.fingerprint {
            let (was, is) = (&recipe.checkpoint.name, &here.name);
            found.push(if was == is {
                format!("the files of the checkpoint {is} are not those of the recipe: another video comes out")
            } else {
                format!("the recipe is for another checkpoint ({was}; this is {is}): another video comes out")
            });
        }
        if latents.is_some() && latents != recipe.latents.as_deref() {
            found.push("the recipe starts from other latents: another video comes out".into());
        }
        let close = "the frames may differ in their last bits";
        let (was, is) = (recipe.device_name(), identity::device(&self.device));
        let (was_exact, is_exact) = (recipe.device_precision(), self.device.precision());
        // Version 1 has no more than the name.
        let same = was == is || recipe.build.is_none() && identity::has_name(&is, was);
        if !same || was_exact != is_exact {
            let place = |device: &str, precision| match precision {
                Precision::Full => device.to_owned(),
                Precision::Half => format!("{device} at half precision"),
            };
            let (was, is) = (place(was, was_exact), place(&is, is_exact));
            found.push(format!("the recipe was made on {was}, this is {is}: {close}"));
        }
        // Version 1 has the engine's version alone.
        let made_by = |engine: &str, build: Option<&str>| match build {
            Some(build) => format!("{engine} of build {build}"),
            None => engine.to_owned(),
        };
        let build = recipe.build.as_ref().map(|_| identity::build());
        let was = made_by(&recipe.engine, recipe.build.as_deref());
        let is = made_by(&identity::engine(), build.as_deref());
        if was != is {
            found.push(format!("the recipe was made by {was}, this is {is}: {close}"));
        }
        Ok(found)
    }
}

/// The checkpoint that was asked for.
fn open_model(model: Option<&Path>, mapping: Mapping, recipe: Option<&Recipe>) -> Result<Pipeline> {
    match (model, recipe) {
        (Some(model), _) if !bundled::is(model) => Pipeline::open(model, mapping),
        (None, Some(recipe)) if !bundled::is(Path::new(&recipe.checkpoint.name)) => {
            let why = format!("the recipe is for {}: give its folder with --model DIR", recipe.checkpoint.name);
            Err(Error::Request { what: "model", why })
        }
        _ => bundled::open(),
    }
}

/// Where to compute: as asked, else where the recipe was made, so that the bits are the same: on its GPU if that is here,
/// at its precision, or with its instruction set if this processor has it, and its way of convolving.
fn placed(
    asked: Option<DeviceChoice>,
    settings: DeviceSettings,
    recipe: Option<&Recipe>,
) -> (DeviceChoice, DeviceSettings) {
    let recorded = recipe.map_or("", |recipe| recipe.device_name());
    let mut words = recorded.strip_prefix("cpu ").unwrap_or_default().split(' ');
    let name = words.next().unwrap_or_default();
    let level = SimdLevel::available().iter().copied().find(|level| level.to_string() == name);
    let exact_conv = words.next() == Some("exact-conv") || settings.exact_conv;
    let made_on = || {
        if recorded.starts_with("cpu ") {
            return Some(DeviceChoice::Cpu);
        }
        let recorded = recorded.strip_prefix("vulkan ")?;
        let gpus = Device::gpus().ok()?;
        let found = gpus.iter().find(|gpu| identity::has_name(recorded, &gpu.identity()))?;
        Some(DeviceChoice::Index(found.index))
    };
    let by_recipe = asked.is_none();
    let choice = asked.or_else(made_on).unwrap_or_default();
    let there = by_recipe && matches!(choice, DeviceChoice::Index(_));
    let recorded = recipe.filter(|_| there).map(Recipe::device_precision);
    let precision = settings.precision.or(recorded);
    let level = settings.level.or(level);
    (choice, DeviceSettings { level, exact_conv, precision, ..settings })
}
