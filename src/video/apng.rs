//! Animated PNG: every pixel exact, the rate exact, in every browser.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use png::text_metadata::ITXtChunk;
use png::{BitDepth, BlendOp, ColorType, DisposeOp, Writer};

use super::file::{Encoder, FileSink};
use super::{Frame, VideoInfo};
use crate::error::{Error, Result};
use crate::video::output::Output;

/// The keyword of a comment, one of those that the PNG specification registers.
pub(super) const COMMENT: &str = "Comment";

/// A frame's delay is a fraction of two numbers of 16 bits.
const MAX_PART: u32 = u16::MAX as u32;

/// A sink that writes one animated PNG, which loops without end; each frame lasts exactly as long as the rate says.
///
/// A comment is kept in an iTXt chunk with the keyword `Comment`, after the first frame: FFmpeg looks for the animation no
/// further than where a long text would end. Numerator and denominator of the rate are at most
/// 65,535.
pub type Apng = FileSink<ApngEncoder>;

/// Writes animated PNG.
#[derive(Default)]
pub struct ApngEncoder {
    tap: Tap,
    writer: Option<Writer<Tap>>,
    /// Until it is written.
    comment: Option<ITXtChunk>,
}

impl Encoder for ApngEncoder {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        if info.fps.numerator() > MAX_PART || info.fps.denominator() > MAX_PART {
            let why = format!("{} in an animated PNG; numerator and denominator are at most {MAX_PART}", info.fps);
            return Err(Error::Request { what: "fps", why });
        }
        if info.frames > i32::MAX as usize {
            return Err(Error::Request { what: "frames", why: format!("an animated PNG has at most {}", i32::MAX) });
        }
        Ok(())
    }

    fn start(&mut self, info: &VideoInfo, comment: Option<&str>, out: &mut Output) -> Result<()> {
        let start = || {
            let mut encoder = png::Encoder::new(self.tap.clone(), info.width as u32, info.height as u32);
            encoder.set_color(ColorType::Rgb);
            encoder.set_depth(BitDepth::Eight);
            encoder.set_animated(info.frames as u32, 0)?;
            encoder.set_frame_delay(info.fps.denominator() as u16, info.fps.numerator() as u16)?;
            encoder.set_blend_op(BlendOp::Source)?;
            encoder.set_dispose_op(DisposeOp::None)?;
            encoder.write_header()
        };
        self.comment = comment.map(|comment| ITXtChunk::new(COMMENT, comment));
        self.writer = Some(start().map_err(|error| out.cannot_encode(error))?);
        out.write(&self.tap.take())
    }

    fn frame(&mut self, frame: &Frame, out: &mut Output) -> Result<()> {
        let writer = self.writer.as_mut().expect("start comes before frame");
        writer.write_image_data(frame.rgb()).map_err(|error| out.cannot_encode(error))?;
        if let Some(comment) = self.comment.take() {
            writer.write_text_chunk(&comment).map_err(|error| out.cannot_encode(error))?;
        }
        out.write(&self.tap.take())
    }

    fn finish(&mut self, out: &mut Output) -> Result<()> {
        let writer = self.writer.take().expect("start comes before finish");
        writer.finish().map_err(|error| out.cannot_encode(error))?;
        out.write(&self.tap.take())
    }
}

/// Holds the bytes that the encoder, which owns its writer, has made until they are written out.
#[derive(Clone, Default)]
struct Tap(Arc<Mutex<Vec<u8>>>);

impl Tap {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
