//! A job's way from prompts to a file.

use std::path::PathBuf;

use zoetrope::{Error, LatentsFile, Prompt, Request, Result, Tensor};

use crate::events::{Event, OnEvent};
use crate::job::Job;
use crate::outputs::Outputs;
use crate::plan;
use crate::target::{self, Target};
use crate::text_cache::TextCache;

impl Job {
    /// Makes the video; returns its path. What can be refused is refused before the first stage, whose work would be lost.
    ///
    /// `outputs` holds what is being written: whoever has a clone can remove it.
    ///
    /// # Errors
    /// Those of the engine; after an error nothing incomplete is left.
    pub fn run(mut self, target: Target, outputs: &Outputs, events: OnEvent) -> Result<PathBuf> {
        let done = generate(&mut self, target, outputs, events);
        outputs.discard();
        done
    }
}

fn generate(job: &mut Job, mut target: Target, outputs: &Outputs, events: OnEvent) -> Result<PathBuf> {
    let noise = job.take_latents()?;
    let plan = job.fit(events)?;
    let Job { pipeline, device, settings, opened, .. } = &*job;
    let request = &settings.request;
    let output = target.output.clone().unwrap_or_else(|| target::default_name(&settings.prompt, request.seed));
    if let Some(path) = target.save_latents.as_ref().filter(|path| target::same_file(path, &output)) {
        let why = format!("{} is the output too; choose another name", path.display());
        return Err(Error::Request { what: "save-latents", why });
    }
    let recipe = settings.recipe(pipeline, device, noise.clone())?;
    let sink = target::open(&mut target, &output, settings, &recipe)?;
    let latents = target.save_latents.as_ref().map(|path| LatentsFile::create(path, target.force)).transpose()?;
    outputs.hold(sink, latents);

    for warning in pipeline.warnings() {
        events(Event::warning(warning.to_string()));
    }
    let unknown = unknown_words(&settings.prompt, pipeline.defaults().known_words.as_deref());
    if !unknown.is_empty() {
        let (these, words) = (if unknown.len() == 1 { "this word" } else { "these words" }, unknown.join(", "));
        events(Event::warning(format!(
            "this checkpoint has never seen {these}: {words}; for other videos take a Wan2.1 checkpoint: --model DIR"
        )));
    }
    for difference in job.differences(noise.as_deref())? {
        events(Event::warning(difference));
    }
    if job.in_seconds {
        let length = request.frames as f64 / request.fps.as_f64();
        events(Event::note(format!("{} frames, {length:.2} s", request.frames)));
    }
    plan::announce(pipeline, device, request, &plan, events)?;
    let &Request { seed, width, height, frames, fps, .. } = request;
    let path = output.to_string_lossy();
    events(Event::Start { seed, width, height, frames, fps, steps: recipe.steps, output: path.clone() });

    let texts = texts(job, events)?;
    let mut texts = texts.into_iter().map(Prompt::Embeddings);
    let (prompt, negative) = (texts.next(), texts.next());
    let encoded = Request {
        prompt: prompt.unwrap_or_else(|| request.prompt.clone()),
        negative_prompt: negative.unwrap_or_else(|| request.negative_prompt.clone()),
        ..request.clone()
    };
    let tell = &mut |progress| Event::of(progress, *opened).into_iter().for_each(&mut *events);
    let latents = pipeline.sample(device, &encoded, tell)?;
    drop(encoded);
    outputs.save(&latents)?;
    pipeline.decode(device, &latents, fps, &mut outputs.clone(), tell)?;
    events(Event::Done { output: path, seed, seconds: opened.elapsed().as_secs_f64() });
    Ok(output)
}

/// The embeddings of the prompts that the request needs, those that were used before from the cache.
fn texts(job: &Job, events: OnEvent) -> Result<Vec<Tensor>> {
    let Job { pipeline, device, settings, text_cache, opened, .. } = job;
    let prompts = settings.request.prompts();
    let tell = &mut |progress| Event::of(progress, *opened).into_iter().for_each(&mut *events);
    let Some(cache) = text_cache else { return pipeline.encode(device, &prompts, tell) };
    // All that the embeddings of a prompt's ids depend on.
    let encoder = [pipeline.checkpoint().component_fingerprint("text_encoder")?, device.identity()];
    let ids = pipeline.tokenize(&prompts, &mut |_| {})?;
    let keys: Vec<String> = ids.iter().map(|ids| TextCache::key(&encoder, ids)).collect();
    let mut found: Vec<Option<Tensor>> = keys.iter().map(|key| cache.get(key, device)).collect();
    let missing: Vec<usize> = (0..found.len()).filter(|&i| found[i].is_none()).collect();
    if !missing.is_empty() {
        let prompts: Vec<&Prompt> = missing.iter().map(|&i| prompts[i]).collect();
        let encoded = pipeline.encode(device, &prompts, tell)?;
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
