//! From flags to a file.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use hmac_sha256::Hash as Sha256;
use zoetrope::plan::Plan;
use zoetrope::video::{self, FrameSink, SinkOptions, VideoInfo, Zoom};
use zoetrope::weights::Mapping;
use zoetrope::{
    Cancel, Device, DeviceChoice, Error, LatentsFile, Pipeline, Precision, Prompt, Request, Result, SimdLevel, Tensor,
    load_latents,
};

use crate::args::{Args, MAX_THREADS};
use crate::devices::Place;
use crate::outputs::Outputs;
use crate::recipe::Recipe;
use crate::report::{Report, say};
use crate::settings::{self, Settings};
use crate::text_cache::{TextCache, hex};
use crate::{bundled, devices, plan};

/// Generates what the flags ask for, or plans it.
pub fn run(args: &Args) -> Result<()> {
    let (cancel, outputs) = (Cancel::default(), Outputs::default());
    if let Err(error) = outputs.on_interrupt(cancel.clone(), args.json) {
        say(&format!("generate: Ctrl-C will end the run without cleaning up: {error}"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads(args)?).build().map_err(|error| {
        let why = format!("the system does not give so many: {error}; ask for fewer with --threads");
        Error::Request { what: "threads", why }
    })?;
    let done = pool.install(|| {
        let mut report = Report::new(args.quiet, args.json);
        let job = Job::new(args, cancel, &mut report)?;
        if args.plan {
            plan::show(&job, args.json).map(|()| None)
        } else {
            generate(args, job, &outputs, report).map(Some)
        }
    });
    outputs.discard();
    match done? {
        Some(output) if !args.json && output != Path::new("-") => print_path(&output),
        _ => Ok(()),
    }
}

/// The one line of a run on standard output.
fn print_path(output: &Path) -> Result<()> {
    // The path's own bytes, which need not be Unicode.
    let line = [output.as_os_str().as_encoded_bytes(), b"\n"].concat();
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&line).and_then(|()| stdout.flush()) {
        // Whoever closed a pipe does not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("generate: {} is complete, but its path could not be printed", output.display()));
            Err(Error::Io { doing: "write", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// How many threads were asked for; 0 for one on each core.
fn threads(args: &Args) -> Result<usize> {
    let variable = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse::<usize>().ok());
    match (args.threads, variable) {
        (Some(threads), _) => Ok(threads.into()),
        (None, Some(threads)) if threads > MAX_THREADS.into() => {
            let why = format!("{threads} is above {MAX_THREADS}; unset it, or choose with --threads");
            Err(Error::Request { what: "RAYON_NUM_THREADS", why })
        }
        _ => Ok(0),
    }
}

/// A checkpoint, a device and what to make with them.
pub struct Job {
    pub pipeline: Pipeline,
    pub device: Device,
    pub settings: Settings,
    recipe: Option<Recipe>,
    choice: DeviceChoice,
    pub place: Place,
}

impl Job {
    /// Everything that reads no weights.
    fn new(args: &Args, cancel: Cancel, report: &mut Report) -> Result<Self> {
        let recipe = args.recipe.as_deref().map(Recipe::read).transpose()?;
        let (choice, place) = place(args, recipe.as_ref(), cancel);
        let device = devices::open(&choice, &place, report)?;
        let pipeline = open(args, recipe.as_ref())?;
        let mut settings = Settings::new(args, recipe.as_ref(), &pipeline)?;
        pipeline.check(&settings.request)?;
        // Once and for all: a large vocabulary takes its time.
        let request = &mut settings.request;
        let both = [&request.prompt, &request.negative_prompt];
        let needed = &both[..if request.is_guided() { 2 } else { 1 }];
        let mut ids = pipeline.tokenize(needed, &mut |event| report.event(event))?.into_iter().map(Prompt::Tokens);
        let (prompt, negative) = (ids.next(), ids.next());
        request.prompt = prompt.unwrap_or_else(|| request.prompt.clone());
        request.negative_prompt = negative.unwrap_or_else(|| request.negative_prompt.clone());
        Ok(Self { pipeline, device, settings, recipe, choice, place })
    }

    /// What the run takes, on the processor if it does not fit into a GPU that nobody asked for.
    fn plan(&mut self, report: &Report) -> Result<Plan> {
        match plan::fits(self) {
            Err(error @ Error::OutOfMemory { .. }) if self.device.is_gpu() && self.choice == DeviceChoice::Auto => {
                report.warning(&format!("too much for {}, so the processor computes: {error}", self.device));
                self.device = devices::open(&DeviceChoice::Cpu, &self.place, report)?;
                plan::fits(self)
            }
            outcome => outcome,
        }
    }

    /// In what this run differs from the one whose recipe it follows, other than by flags.
    fn differences(&self, device: &str, latents: Option<&str>) -> Result<Vec<String>> {
        let Some(recipe) = &self.recipe else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let here = settings::checkpoint_id(&self.pipeline)?;
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
        if device != recipe.device {
            found.push(format!("the recipe was made on {}, this is {device}: {close}", recipe.device));
        }
        if settings::engine() != recipe.engine {
            found.push(format!("the recipe was made by {}, this is {}: {close}", recipe.engine, settings::engine()));
        }
        Ok(found)
    }
}

/// The checkpoint that was asked for.
fn open(args: &Args, recipe: Option<&Recipe>) -> Result<Pipeline> {
    let is_bundled = |model: &Path| model == Path::new(zoetrope_bundled::NAME);
    match (&args.model, recipe) {
        (Some(model), _) if !is_bundled(model) => {
            Pipeline::open(model, if args.no_mmap { Mapping::Read } else { Mapping::Map })
        }
        (None, Some(recipe)) if recipe.checkpoint.name != zoetrope_bundled::NAME => {
            let why = format!("the recipe is for {}: give its folder with --model DIR", recipe.checkpoint.name);
            Err(Error::Request { what: "model", why })
        }
        _ => bundled::open(),
    }
}

/// Where to compute: as the flags say, else where the recipe was made, so that the bits are the same: on its GPU if that
/// is here, at its precision, or with its instruction set if this processor has it, and its way of convolving.
fn place(args: &Args, recipe: Option<&Recipe>, cancel: Cancel) -> (DeviceChoice, Place) {
    let recorded = recipe.map_or("", |recipe| &recipe.device);
    let mut words = recorded.strip_prefix("cpu ").unwrap_or_default().split(' ');
    let name = words.next().unwrap_or_default();
    let level = SimdLevel::available().iter().copied().find(|level| level.to_string() == name);
    let exact_conv = words.next() == Some("exact-conv") || args.exact_conv;
    let made_on = || {
        if recorded.starts_with("cpu ") {
            return Some(DeviceChoice::Cpu);
        }
        let identity = Precision::of(recorded).0.strip_prefix("vulkan ")?;
        let gpus = Device::gpus().ok()?;
        Some(DeviceChoice::Index(gpus.iter().find(|gpu| gpu.identity() == identity)?.index))
    };
    let choice = args.device.clone().or_else(made_on).unwrap_or_default();
    let there = args.device.is_none() && matches!(choice, DeviceChoice::Index(_));
    let precision = args.precision.or(there.then(|| Precision::of(recorded).1));
    (choice, Place { cancel, memory: args.memory, level, exact_conv, precision })
}

/// Everything that can be refused is refused before the first stage, whose work would be lost.
fn generate(args: &Args, mut job: Job, outputs: &Outputs, mut report: Report) -> Result<PathBuf> {
    let noise = take_latents(args, &mut job)?;
    let plan = job.plan(&report)?;
    let Job { pipeline, device, settings, .. } = &job;
    let request = &settings.request;
    let output = args.output.clone().unwrap_or_else(|| default_output(&settings.prompt, request.seed));
    if args.json && output == Path::new("-") {
        let why = "standard output cannot carry the video and the events of --json; name a file".into();
        return Err(Error::Request { what: "output", why });
    }
    if let Some(path) = args.save_latents.as_ref().filter(|path| same_file(path, &output)) {
        let why = format!("{} is the output too; choose another name", path.display());
        return Err(Error::Request { what: "save-latents", why });
    }
    let place = format!("{device}");
    let recipe = settings.recipe(pipeline, &place, noise.clone())?;
    let sink = open_sink(args, &output, settings, &recipe)?;
    let latents = args.save_latents.as_ref().map(|path| LatentsFile::create(path, args.force)).transpose()?;
    outputs.hold(sink, latents);

    for warning in pipeline.warnings() {
        report.warning(&warning.to_string());
    }
    let unknown = unknown_words(&settings.prompt, pipeline.defaults().known_words.as_deref());
    if !unknown.is_empty() {
        let (these, words) = (if unknown.len() == 1 { "this word" } else { "these words" }, unknown.join(", "));
        report.warning(&format!(
            "this checkpoint has never seen {these}: {words}; for other videos take a Wan2.1 checkpoint: --model DIR"
        ));
    }
    for difference in job.differences(&place, noise.as_deref())? {
        report.warning(&difference);
    }
    if args.seconds.is_some() {
        let length = request.frames as f64 / f64::from(request.fps);
        report.line(&format!("{} frames, {length:.2} s", request.frames));
    }
    plan::announce(&job, &plan, &report)?;
    report.start(request, recipe.steps, &output);

    let texts = texts(args, &job, &mut report)?;
    let mut texts = texts.into_iter().map(Prompt::Embeddings);
    let (prompt, negative) = (texts.next(), texts.next());
    let encoded = Request {
        prompt: prompt.unwrap_or_else(|| request.prompt.clone()),
        negative_prompt: negative.unwrap_or_else(|| request.negative_prompt.clone()),
        ..request.clone()
    };
    let latents = pipeline.sample(device, &encoded, &mut |event| report.event(event))?;
    drop(encoded);
    outputs.save(&latents)?;
    pipeline.decode(device, &latents, request.fps, &mut outputs.clone(), &mut |event| report.event(event))?;
    report.done(request, &output);
    Ok(output)
}

/// Puts the latents of a file in place of noise, and says what their hash is.
fn take_latents(args: &Args, job: &mut Job) -> Result<Option<String>> {
    let Some(path) = &args.latents else {
        if job.recipe.as_ref().is_some_and(|recipe| recipe.latents.is_some()) {
            let why = "the recipe starts from latents of a file of their own; give it with --latents FILE".into();
            return Err(Error::Request { what: "latents", why });
        }
        return Ok(None);
    };
    let expected = job.pipeline.latent_shape(&job.settings.request)?;
    let (found, values) = load_latents(path)?;
    if found != expected {
        let why = format!("{} holds {found:?}, this size needs {expected:?}", path.display());
        return Err(Error::Request { what: "latents", why });
    }
    let mut hash = Sha256::new();
    values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    job.settings.request.latents = Some(values);
    Ok(Some(hex(hash)))
}

/// The embeddings of the prompts that the request needs, those that were used before from the cache.
fn texts(args: &Args, job: &Job, report: &mut Report) -> Result<Vec<Tensor>> {
    let Job { pipeline, device, settings: Settings { request, .. }, .. } = job;
    let mut prompts = vec![&request.prompt];
    if request.is_guided() {
        prompts.push(&request.negative_prompt);
    }
    let Some(cache) = TextCache::of_user().filter(|_| !args.no_text_cache) else {
        return pipeline.encode(device, &prompts, &mut |event| report.event(event));
    };
    let encoder =
        [pipeline.checkpoint().component_fingerprint("text_encoder")?, device.to_string(), settings::engine()];
    let ids = pipeline.tokenize(&prompts, &mut |_| {})?;
    let keys: Vec<String> = ids.iter().map(|ids| TextCache::key(&encoder, ids)).collect();
    let mut found: Vec<Option<Tensor>> = keys.iter().map(|key| cache.get(key, device)).collect();
    let missing: Vec<usize> = (0..found.len()).filter(|&i| found[i].is_none()).collect();
    if !missing.is_empty() {
        let prompts: Vec<&Prompt> = missing.iter().map(|&i| prompts[i]).collect();
        let encoded = pipeline.encode(device, &prompts, &mut |event| report.event(event))?;
        for (i, text) in missing.into_iter().zip(encoded) {
            cache.put(&keys[i], &text);
            found[i] = Some(text);
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// The words of a prompt that are not among those that a small checkpoint was trained on, each once.
fn unknown_words(prompt: &str, known: Option<&[String]>) -> Vec<String> {
    let Some(known) = known else { return Vec::new() };
    let mut unknown: Vec<String> = Vec::new();
    for word in prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase) {
        if !known.contains(&word) && !unknown.contains(&word) {
            unknown.push(word);
        }
    }
    unknown
}

/// Whether two paths name one file, there or not.
fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    let whole = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    (real(a).is_some() && real(a) == real(b)) || (whole(a).is_some() && whole(a) == whole(b))
}

/// The sink that the path asks for, enlarging pixels if asked; refuses what it could not take.
fn open_sink(args: &Args, output: &Path, settings: &Settings, recipe: &Recipe) -> Result<Box<dyn FrameSink>> {
    if output.is_dir() && !output.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]) {
        let why = format!("{0} is a folder; write {0}/ for PNG frames in it", output.display());
        return Err(Error::Request { what: "output", why });
    }
    let &Request { width, height, frames, fps, .. } = &settings.request;
    let comment = (!args.no_recipe).then(|| recipe.to_json());
    let options = SinkOptions { force: args.force, stdout: Some(Box::new(std::io::stdout())), comment };
    let sink = Zoom::new(video::open(output, options)?, settings.zoom.into())?;
    sink.check(&VideoInfo { width, height, fps, frames })?;
    Ok(Box::new(sink))
}

/// The prompt's words and the seed.
fn default_output(prompt: &str, seed: u64) -> PathBuf {
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let slug: String = words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(48).collect();
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "video" } else { slug };
    // The best that this build can write.
    let ending = if video::formats().contains(&".mp4") { "mp4" } else { "gif" };
    PathBuf::from(format!("{slug}-{seed}.{ending}"))
}
