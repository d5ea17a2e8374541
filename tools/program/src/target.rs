//! Where a job's video goes.

use std::io::Write;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use zoetrope::video::{self, FrameSink, SinkOptions, VideoInfo, Zoom};
use zoetrope::{Error, Request, Result};

use crate::recipe::Recipe;
use crate::settings::Settings;
use crate::streams;

/// The outputs of a job.
#[derive(Default)]
pub struct Target {
    /// The video's path, as [`video::open`] takes it; [`default_name`] if `None`.
    pub output: Option<PathBuf>,
    /// Replace what is there.
    pub force: bool,
    /// Leave the recipe out of the video.
    pub without_recipe: bool,
    /// A file for the final latents.
    pub save_latents: Option<PathBuf>,
    /// The stream that `-` stands for; without one `-` is refused.
    pub stdout: Option<Box<dyn Write + Send>>,
}

/// The path that a prompt and a seed get if none was given: the prompt's words and the seed.
pub fn default_name(prompt: &str, seed: u64) -> PathBuf {
    /// Characters, and bytes: some file systems take names of no more than 143 bytes.
    const LONGEST: usize = 48;
    const MOST_BYTES: usize = 96;
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug: String = words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(LONGEST).collect();
    while slug.len() > MOST_BYTES {
        slug.pop();
    }
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "video" } else { slug };
    // The best that this build can write.
    let ending = if video::formats().contains(&".mp4") { "mp4" } else { "gif" };
    PathBuf::from(format!("{slug}-{seed}.{ending}"))
}

/// Whether a path names standard output.
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether two paths name one file, there or not.
pub fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((folder.canonicalize().ok()?, path.file_name()?.to_owned()))
    };
    let whole = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    (real(a).is_some() && real(a) == real(b)) || (whole(a).is_some() && whole(a) == whole(b))
}

/// The sink that the path asks for, which enlarges pixels if that is asked for.
///
/// # Errors
/// Those of [`video::open`]; [`Error::Request`] if the format does not take such a video; [`Error::Io`] if it is standard
/// output and that is closed.
pub(crate) fn open(
    target: &mut Target,
    output: &Path,
    settings: &Settings,
    recipe: &Recipe,
) -> Result<Box<dyn FrameSink>> {
    if output.is_dir() && !output.as_os_str().to_string_lossy().ends_with(['/', MAIN_SEPARATOR]) {
        let why = format!("{0} is a folder; write {0}/ for PNG frames in it", output.display());
        return Err(Error::Request { what: "output", why });
    }
    if let Some(source) = streams::closed().filter(|_| is_stream(output)) {
        return Err(Error::Io { doing: "write", path: output.to_owned(), source });
    }
    let &Request { width, height, frames, fps, .. } = &settings.request;
    let comment = (!target.without_recipe).then(|| recipe.to_json());
    let options = SinkOptions { force: target.force, stdout: target.stdout.take(), comment };
    let sink = Zoom::new(video::open(output, options)?, settings.zoom.into())?;
    sink.check(&VideoInfo { width, height, fps, frames })?;
    Ok(Box::new(sink))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_the_prompt_within_what_file_systems_take() {
        let name = |prompt: &str| default_name(prompt, 7).into_os_string().into_string().expect("unicode");
        assert!(name("A cat, walking!").starts_with("a-cat-walking-7."));
        assert!(name("  ?! ").starts_with("video-7."));
        for long in ["snow ".repeat(10_000), "雪".repeat(300), "𝒳".repeat(300), "ﬃ".repeat(300)] {
            let name = name(&long);
            assert!(name.len() <= 143 - "-18446744073709551615".len(), "{} bytes: {name}", name.len());
        }
    }
}
