//! Frames, and where they go: a [`FrameSink`] takes them one by one, so that no clip is ever whole in memory.

mod colour;
#[cfg(feature = "png")]
mod png;
#[cfg(test)]
mod tests;
mod y4m;

#[cfg(feature = "png")]
pub use self::png::PngFolder;
pub use self::y4m::Y4m;

use crate::error::{Error, Result};

/// The longest edge of a frame, in pixels; the formats and their readers differ on more.
const MAX_EDGE: usize = 65_535;

/// What a sink must know of a video before its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoInfo {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames per second.
    pub fps: u32,
}

impl VideoInfo {
    fn check(&self) -> Result<()> {
        let refuse = |what, why| Err(Error::Request { what, why });
        if ![self.width, self.height].iter().all(|edge| (1..=MAX_EDGE).contains(edge)) {
            return refuse("size", format!("{}x{}: edges are 1 to {MAX_EDGE} pixels", self.width, self.height));
        }
        if self.fps == 0 {
            return refuse("fps", "a video has at least 1 frame per second".into());
        }
        Ok(())
    }

    fn check_frame(&self, frame: &Frame) -> Result<()> {
        if (frame.width, frame.height) == (self.width, self.height) {
            return Ok(());
        }
        let why = format!("{}x{} pixels in a video of {}x{}", frame.width, frame.height, self.width, self.height);
        Err(Error::Request { what: "frame", why })
    }
}

/// One picture: rows from the top, red, green and blue of 8 bits each, non-linear as on a display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Frame {
    /// A frame of these pixels, `[height, width, 3]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not `height * width * 3` values.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        check_len(rgb.len(), width, height)?;
        Ok(Self { width, height, rgb })
    }

    /// A frame of a VAE decoder's values, `[height, width, 3]`, where -1 is black and 1 is full; others are clamped.
    ///
    /// Rounds as diffusers' `VideoProcessor` and its `numpy_to_pil` do: x / 2 + 0.5, times 255, half to even.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not `height * width * 3` values, [`Error::NotFinite`] if one is NaN or infinite.
    pub fn from_signed(width: usize, height: usize, values: &[f32]) -> Result<Self> {
        check_len(values.len(), width, height)?;
        if values.iter().any(|x| !x.is_finite()) {
            return Err(Error::NotFinite { stage: "VAE decoder", step: None });
        }
        let rgb = values.iter().map(|x| ((x * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8).collect();
        Ok(Self { width, height, rgb })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

fn check_len(len: usize, width: usize, height: usize) -> Result<()> {
    if width.checked_mul(height).and_then(|n| n.checked_mul(3)) == Some(len) {
        return Ok(());
    }
    let (left, right) = ([len].into(), [height, width, 3].into());
    Err(Error::Shape { op: "frame", left, right, why: "a frame has three values for each pixel" })
}

/// Takes the frames of one video in time order: `start` once, `frame` for each, `finish` once.
///
/// Until `finish` has returned, a sink leaves nothing at its target that looks like a complete video; dropped before, it
/// leaves nothing at all. Calls out of order and frames of another size are [`Error::Request`].
pub trait FrameSink: Send {
    /// Tells the size and the rate, before the first frame.
    fn start(&mut self, info: &VideoInfo) -> Result<()>;

    /// Takes the next frame.
    fn frame(&mut self, frame: &Frame) -> Result<()>;

    /// Completes the video.
    fn finish(&mut self) -> Result<()>;
}

/// Drops every frame: for measurements and tests of what comes before.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl FrameSink for NullSink {
    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        info.check()
    }

    fn frame(&mut self, _: &Frame) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Keeps every frame in memory.
impl FrameSink for Vec<Frame> {
    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        info.check()
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        self.push(frame.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// The error of a call that comes before `start`, after `finish` or after another error.
fn out_of_order(call: &str) -> Error {
    Error::Request { what: "frame sink", why: format!("{call} was called out of order or after an error") }
}
