//! From a path to the sink that it asks for.

use std::io::Write;
use std::path::Path;

#[cfg(feature = "png")]
use super::PngFolder;
use super::file::{Encoder, FileSink};
use super::{FrameSink, Y4m};
use crate::error::Result;
use crate::video::output::refusal;

/// How [`open`] makes a sink.
#[derive(Default)]
pub struct SinkOptions {
    /// Replace what is there.
    pub force: bool,
    /// A text to keep in the file where its format has a place: all but y4m.
    pub comment: Option<String>,
    /// Where the video goes if the path is `-`: standard output, which the library does not touch by itself.
    pub stdout: Option<Box<dyn Write + Send>>,
}

/// What this build can write, for help texts: endings of file names, `/` for a folder of PNG files, `-` for y4m to a
/// stream.
pub fn formats() -> Vec<&'static str> {
    let all = [
        (".mp4", cfg!(feature = "mp4")),
        (".gif", cfg!(feature = "gif")),
        (".png", cfg!(feature = "png")),
        (".apng", cfg!(feature = "png")),
        (".y4m", true),
        ("/", cfg!(feature = "png")),
        ("-", true),
    ];
    all.into_iter().filter_map(|(ending, here)| here.then_some(ending)).collect()
}

/// Makes the sink that a path asks for: `.mp4`, `.gif`, `.png` and `.apng` (animated PNG), `.y4m`, a folder of PNG files
/// if it ends in a slash, y4m to [`SinkOptions::stdout`] if it is `-`.
///
/// # Errors
/// [`Error::Request`](crate::Error::Request) if the ending is none that this build can write, or something is there already and not
/// [`SinkOptions::force`]; [`Error::Io`](crate::Error::Io) if the file cannot be made.
pub fn open(path: &Path, options: SinkOptions) -> Result<Box<dyn FrameSink>> {
    if path == Path::new("-") {
        let stdout = options.stdout.ok_or_else(|| refusal(path, "needs a stream to write to, and none was given"))?;
        return Ok(Box::new(Y4m::stream(stdout, "-")));
    }
    if path.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]) {
        #[cfg(feature = "png")]
        {
            let sink = PngFolder::create(path, options.force)?;
            return Ok(match options.comment {
                Some(comment) => Box::new(sink.with_comment(comment)),
                None => Box::new(sink),
            });
        }
        #[cfg(not(feature = "png"))]
        return Err(missing(path, "png", ""));
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("y4m") => file::<super::y4m::Y4mEncoder>(path, options),
        #[cfg(feature = "mp4")]
        Some("mp4") => file::<super::mp4::Mp4Encoder>(path, options),
        #[cfg(not(feature = "mp4"))]
        Some("mp4") => Err(missing(path, "mp4", ", which takes a C++ compiler")),
        #[cfg(feature = "gif")]
        Some("gif") => file::<super::gif::GifEncoder>(path, options),
        #[cfg(not(feature = "gif"))]
        Some("gif") => Err(missing(path, "gif", "")),
        #[cfg(feature = "png")]
        Some("png" | "apng") => file::<super::apng::ApngEncoder>(path, options),
        #[cfg(not(feature = "png"))]
        Some("png" | "apng") => Err(missing(path, "png", "")),
        _ => Err(refusal(path, &format!("ends in none of what this build can write: {}", formats().join("  ")))),
    }
}

fn file<E: Encoder + 'static>(path: &Path, options: SinkOptions) -> Result<Box<dyn FrameSink>> {
    let sink = FileSink::<E>::create(path, options.force)?;
    Ok(match options.comment {
        Some(comment) => Box::new(sink.with_comment(comment)),
        None => Box::new(sink),
    })
}

/// The refusal of a format that was left out of this build.
#[cfg(not(all(feature = "mp4", feature = "gif", feature = "png")))]
fn missing(path: &Path, feature: &str, cost: &str) -> crate::Error {
    let formats = formats().join("  ");
    let why = format!("needs a build with the feature `{feature}`{cost}; this one can write: {formats}");
    refusal(path, &why)
}
