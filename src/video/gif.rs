//! Animated GIF: 256 colours in each frame, chosen for it.

use gif::{AnyExtension, Extension, Repeat};

use super::file::{Encoder, FileSink};
use super::palette::quantise;
use super::{Frame, FrameRate, VideoInfo};
use crate::error::{Error, Result};
use crate::video::output::Output;

/// Delays are whole centiseconds, and browsers take 1 for 10.
const MAX_FPS: u32 = 50;

/// A sink that writes one animated GIF, which loops without end.
///
/// Each frame has a palette of its own (exact if it has at most 256 colours) and is dithered on a
/// fixed pattern, which does not crawl. Delays are whole hundredths of a second: each frame begins at the hundredth nearest
/// to its time, so that some last longer than others and the whole is right (16 frames per second: 6, 7, 6, 6, ...). At
/// most 50 frames per second. A comment is kept in a comment extension, before the frames.
pub type Gif = FileSink<GifEncoder>;

/// Writes GIF.
#[derive(Default)]
pub struct GifEncoder {
    writer: Option<gif::Encoder<Vec<u8>>>,
    fps: Option<FrameRate>,
    frames: u64,
}

impl Encoder for GifEncoder {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        if info.fps.exceeds(MAX_FPS) {
            let why = format!("{} in a GIF; the most that browsers play is {MAX_FPS}", info.fps);
            return Err(Error::Request { what: "fps", why });
        }
        Ok(())
    }

    fn start(&mut self, info: &VideoInfo, comment: Option<&str>, out: &mut Output) -> Result<()> {
        let start = || {
            let mut writer = gif::Encoder::new(Vec::new(), info.width as u16, info.height as u16, &[])?;
            writer.set_repeat(Repeat::Infinite)?;
            if let Some(comment) = comment {
                writer.write_raw_extension(AnyExtension::from(Extension::Comment), &[comment.as_bytes()])?;
            }
            Ok::<_, gif::EncodingError>(writer)
        };
        self.fps = Some(info.fps);
        self.writer = Some(start().map_err(|error| out.cannot_encode(error))?);
        self.drain(out)
    }

    fn frame(&mut self, frame: &Frame, out: &mut Output) -> Result<()> {
        let (palette, indices) = quantise(frame.width, &frame.rgb);
        let delay = self.begin(self.frames + 1) - self.begin(self.frames);
        self.frames += 1;
        let picture = gif::Frame {
            width: frame.width as u16,
            height: frame.height as u16,
            delay: delay as u16,
            palette: Some(palette.concat()),
            buffer: indices.into(),
            ..gif::Frame::default()
        };
        let writer = self.writer.as_mut().expect("start comes before frame");
        writer.write_frame(&picture).map_err(|error| out.cannot_encode(error))?;
        self.drain(out)
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        let writer = self.writer.take().expect("start comes before finish");
        let rest = writer.into_inner().map_err(|error| out.cannot_encode(error))?;
        out.write(&rest)
    }
}

impl GifEncoder {
    /// When a frame begins, to the nearest centisecond.
    fn begin(&self, frame: u64) -> u64 {
        let Some(fps) = self.fps else { return 0 };
        // Seconds are frame * scale / rate; products of a frame's number and 32 bits need more than 64.
        let (rate, scale) = (u128::from(fps.numerator()), u128::from(fps.denominator()));
        ((200 * u128::from(frame) * scale + rate) / (2 * rate)) as u64
    }

    fn drain(&mut self, out: &mut Output) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        out.write(writer.get_ref())?;
        writer.get_mut().clear();
        Ok(())
    }
}
