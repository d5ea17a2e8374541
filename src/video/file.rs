//! What the sinks that write one file have in common.

use std::path::Path;

use super::{Clip, Frame, FrameSink, VideoInfo, comment, out_of_order};
use crate::error::Result;
use crate::video::output::Output;

/// A format: from frames to bytes. Calls come in order, with frames of the size that was told.
pub trait Encoder: Send + Default {
    /// Whether the format holds such a video; size, rate and number are known to be above 0.
    fn check(&self, _: &VideoInfo) -> Result<()> {
        Ok(())
    }

    /// Whether it changes bytes that are written already, which no pipe can do.
    const REWRITES: bool = false;

    /// Writes what comes before the first frame.
    fn start(&mut self, info: &VideoInfo, comment: Option<&str>, out: &mut Output) -> Result<()>;

    /// Writes the next frame.
    fn frame(&mut self, frame: &Frame, out: &mut Output) -> Result<()>;

    /// Writes what comes after the last frame.
    fn finish(&mut self, out: &mut Output) -> Result<()>;
}

/// A sink that writes one file, which gets its name when it is complete: [`Y4m`](super::Y4m) and the like.
pub struct FileSink<E> {
    out: Option<Output>,
    encoder: E,
    clip: Option<Clip>,
    comment: Option<String>,
}

impl<E: Encoder> FileSink<E> {
    /// A file at `path`, made now under a hidden name in the same folder and renamed by `finish`; removed if this is
    /// dropped before. Pipes and devices are written to at once.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if `path` is a folder, or exists and not `force`, or is a pipe and the
    /// format cannot be written to one; [`Error::Io`](crate::Error::Io) if the file cannot be made.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let out = Output::file(path, force)?;
        #[cfg(feature = "mp4")]
        let out = {
            let mut out = out;
            if E::REWRITES && !out.can_rewrite() {
                return Err(crate::video::output::refusal(path, "is no file; this format cannot be written to a pipe"));
            }
            out
        };
        Ok(Self::to(out))
    }

    /// Keeps this text in the file where the format has a place for it; [`read_comment`](super::read_comment) reads it
    /// back. At most [`MAX_COMMENT`](super::MAX_COMMENT) bytes, which `check` holds.
    pub fn with_comment(self, comment: impl Into<String>) -> Self {
        Self { comment: Some(comment.into()), ..self }
    }

    pub(super) fn to(out: Output) -> Self {
        Self { out: Some(out), encoder: E::default(), clip: None, comment: None }
    }
}

impl<E: Encoder> FrameSink for FileSink<E> {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        info.check()?;
        comment::check(self.comment.as_deref())?;
        self.encoder.check(info)
    }

    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        self.check(info)?;
        if self.clip.is_some() {
            return Err(out_of_order("start"));
        }
        // The output is kept only if a call succeeds: after an error there is nothing to finish.
        let mut out = self.out.take().ok_or_else(|| out_of_order("start"))?;
        self.encoder.start(info, self.comment.as_deref(), &mut out)?;
        self.out = Some(out);
        self.clip = Some(Clip::new(info));
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        let (Some(clip), Some(out)) = (&mut self.clip, &mut self.out) else { return Err(out_of_order("frame")) };
        clip.check_frame(frame)?;
        let encoded = self.encoder.frame(frame, out);
        clip.frames += 1;
        if encoded.is_err() {
            self.out = None;
        }
        encoded
    }

    fn finish(&mut self) -> Result<()> {
        let (Some(clip), Some(_)) = (&self.clip, &self.out) else { return Err(out_of_order("finish")) };
        clip.check_complete()?;
        let mut out = self.out.take().ok_or_else(|| out_of_order("finish"))?;
        self.encoder.finish(&mut out)?;
        out.finish()
    }
}
