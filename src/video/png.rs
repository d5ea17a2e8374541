//! Frames as numbered PNG files in a folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType, Encoder, EncodingError};

use super::apng::COMMENT;
use super::{Clip, Frame, FrameSink, VideoInfo, comment, out_of_order};
use crate::error::{Error, Result};
use crate::video::output::{PARTIAL, cannot, cannot_create, hold, refusal, sweep};

/// The most frames whose names still sort in time order.
const MAX_FRAMES: usize = 99_999;

/// A sink that writes `frame_00001.png`, `frame_00002.png`, … into one folder.
///
/// The files come into being in a hidden folder inside it and move up when all of them are complete.
pub struct PngFolder {
    folder: PathBuf,
    hidden: Option<Hidden>,
    clip: Option<Clip>,
    comment: Option<String>,
}

impl PngFolder {
    /// The folder at `path`, made now if it is not there (its parent must be).
    ///
    /// With `force` a folder may hold other files: they are left alone, but for frames of an earlier video, all of which
    /// `finish` replaces or removes.
    ///
    /// # Errors
    /// [`Error::Request`] if `path` is not a folder, or one that is not empty and not `force`; [`Error::Io`] if nothing
    /// can be made there.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let made = match fs::create_dir(path) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) => return Err(cannot_create(path, e)),
        };
        if !made && !path.is_dir() {
            return Err(refusal(path, "exists and is not a folder"));
        }
        sweep(&path.join(PARTIAL), |hidden| hidden.join(LOCK), |hidden| fs::remove_dir_all(hidden));
        if !force && let Some(entry) = fs::read_dir(path).map_err(Error::io("read", path))?.next() {
            let held = entry.map(|entry| entry.file_name().display().to_string()).unwrap_or_default();
            let why =
                format!("is not empty, it holds {held}; choose another folder, or replace its frames with --force");
            return Err(refusal(path, &why));
        }
        let hidden = Hidden::create(path, made)?;
        Ok(Self { folder: path.to_owned(), hidden: Some(hidden), clip: None, comment: None })
    }

    /// Keeps this text in the first frame, in an iTXt chunk with the keyword `Comment`; at most
    /// [`MAX_COMMENT`](super::MAX_COMMENT) bytes, which `check` holds.
    pub fn with_comment(self, comment: impl Into<String>) -> Self {
        Self { comment: Some(comment.into()), ..self }
    }
}

impl FrameSink for PngFolder {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        info.check()?;
        comment::check(self.comment.as_deref())?;
        if info.frames > MAX_FRAMES {
            let why = format!("{}, and a folder of PNG files holds at most {MAX_FRAMES}", info.frames);
            return Err(Error::Request { what: "frames", why });
        }
        Ok(())
    }

    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        self.check(info)?;
        if self.clip.is_some() || self.hidden.is_none() {
            return Err(out_of_order("start"));
        }
        self.clip = Some(Clip::new(info));
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        let clip = self.clip.as_mut().filter(|_| self.hidden.is_some()).ok_or_else(|| out_of_order("frame"))?;
        clip.check_frame(frame)?;
        let hidden = self.hidden.take().ok_or_else(|| out_of_order("frame"))?;
        // After an error there is nothing to finish: the hidden folder goes.
        let path = hidden.path.join(name(clip.frames + 1));
        let comment = self.comment.as_deref().filter(|_| clip.frames == 0);
        encode(&path, frame, comment).map_err(cannot("write", &path))?;
        clip.frames += 1;
        self.hidden = Some(hidden);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let (Some(clip), Some(_)) = (&self.clip, &self.hidden) else { return Err(out_of_order("finish")) };
        clip.check_complete()?;
        let frames = clip.frames;
        let hidden = self.hidden.take().ok_or_else(|| out_of_order("finish"))?;
        for i in 1..=frames {
            let target = self.folder.join(name(i));
            let from = hidden.path.join(name(i));
            if let Err(e) = fs::rename(&from, &target) {
                // The video is done: what could not move up stays where it is.
                std::mem::forget(hidden);
                return Err(cannot("rename the finished frame", &from)(e));
            }
        }
        // Frames of a longer video that was here before.
        for entry in fs::read_dir(&self.folder).map_err(Error::io("read", &self.folder))? {
            let path = entry.map_err(Error::io("read", &self.folder))?.path();
            if number(&path).is_some_and(|i| i > frames || i == 0) && path.is_file() {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn encode(path: &Path, frame: &Frame, comment: Option<&str>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut encoder = Encoder::new(&mut file, frame.width() as u32, frame.height() as u32);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    if let Some(comment) = comment {
        encoder.add_itxt_chunk(COMMENT.into(), comment.into()).map_err(cause)?;
    }
    let mut writer = encoder.write_header().map_err(cause)?;
    writer.write_image_data(frame.rgb()).map_err(cause)?;
    writer.finish().map_err(cause)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// The system's own answer, if that is what went wrong: the encoder's error has only its text.
fn cause(error: EncodingError) -> io::Error {
    match error {
        EncodingError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

fn name(i: usize) -> String {
    format!("frame_{i:05}.png")
}

/// The number of a file that is named as frames are.
fn number(path: &Path) -> Option<usize> {
    let digits = path.file_name()?.to_str()?.strip_prefix("frame_")?.strip_suffix(".png")?;
    (digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The hidden folder; what is left of it goes on drop, and the folder around it too if it was made for this and is empty.
struct Hidden {
    path: PathBuf,
    made_parent: bool,
    /// Open and locked while the folder is in use.
    _lock: File,
}

/// The file in a hidden folder that tells whether its process lives.
const LOCK: &str = ".lock";

impl Hidden {
    fn create(folder: &Path, made_parent: bool) -> Result<Self> {
        for attempt in 0.. {
            let path = folder.join(format!("{PARTIAL}{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let file = path.join(LOCK);
                    let lock = File::create_new(&file).map_err(|error| {
                        remove(&path, made_parent);
                        cannot("write into", folder)(error)
                    })?;
                    if hold(&lock, &file) {
                        return Ok(Self { path, made_parent, _lock: lock });
                    }
                }
                // Another output of this process.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {}
                Err(e) => {
                    if made_parent {
                        let _ = fs::remove_dir(folder);
                    }
                    return Err(cannot("write into", folder)(e));
                }
            }
        }
        unreachable!("the hundredth attempt returns")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        remove(&self.path, self.made_parent);
    }
}

/// Removes a hidden folder, and the one around it if it is empty and was made for this; nobody is there to tell of a failure.
fn remove(hidden: &Path, made_parent: bool) {
    let _ = fs::remove_dir_all(hidden);
    if let Some(folder) = hidden.parent().filter(|_| made_parent) {
        let _ = fs::remove_dir(folder);
    }
}
