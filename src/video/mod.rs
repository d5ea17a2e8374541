//! Frames, and where they go: a [`FrameSink`] takes them one by one, so that no clip is ever whole in memory.
//!
//! [`open`] makes the sink that a path asks for; [`Zoom`] enlarges what goes into another sink; [`read_comment`] reads back
//! the text that a sink has kept in a video.

#[cfg(feature = "png")]
mod apng;
mod colour;
mod comment;
mod file;
#[cfg(feature = "gif")]
mod gif;
#[cfg(feature = "mp4")]
mod mp4;
mod open;
pub(crate) mod output;
#[cfg(feature = "gif")]
mod palette;
#[cfg(feature = "png")]
mod png;
mod rate;
#[cfg(test)]
mod tests;
mod y4m;
mod zoom;

#[cfg(feature = "png")]
pub use self::apng::Apng;
pub use self::comment::{MAX_COMMENT, read_comment};
pub use self::file::FileSink;
#[cfg(feature = "gif")]
pub use self::gif::Gif;
#[cfg(feature = "mp4")]
pub use self::mp4::Mp4;
pub use self::open::{SinkOptions, formats, open};
#[cfg(feature = "png")]
pub use self::png::PngFolder;
pub use self::rate::FrameRate;
pub use self::y4m::Y4m;
pub use self::zoom::Zoom;

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
    pub fps: FrameRate,
    /// How many frames there will be, exactly.
    pub frames: usize,
}

impl VideoInfo {
    fn check(&self) -> Result<()> {
        let refuse = |what, why| Err(Error::Request { what, why });
        if ![self.width, self.height].iter().all(|edge| (1..=MAX_EDGE).contains(edge)) {
            return refuse("size", format!("{}x{}: edges are 1 to {MAX_EDGE} pixels", self.width, self.height));
        }
        if self.fps.is_zero() {
            return refuse("fps", "a video has more than 0 frames per second".into());
        }
        if self.frames == 0 {
            return refuse("frames", "a video has at least 1".into());
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
            return Err(Error::NotFinite { stage: "VAE decoder", step: None, layer: None });
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
/// leaves nothing at all. Calls out of order, frames of another size and another number of frames than `start` was told
/// are [`Error::Request`].
pub trait FrameSink: Send {
    /// Whether the sink can take such a video: what `start` would find out only after all the sampling.
    ///
    /// # Errors
    /// [`Error::Request`] naming the field and the nearest value that can be done.
    fn check(&self, info: &VideoInfo) -> Result<()> {
        info.check()
    }

    /// Tells the size, the rate and the number of frames, before the first of them.
    fn start(&mut self, info: &VideoInfo) -> Result<()>;

    /// Takes the next frame.
    fn frame(&mut self, frame: &Frame) -> Result<()>;

    /// Completes the video.
    fn finish(&mut self) -> Result<()>;
}

impl<S: FrameSink + ?Sized> FrameSink for Box<S> {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        (**self).check(info)
    }

    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        (**self).start(info)
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        (**self).frame(frame)
    }

    fn finish(&mut self) -> Result<()> {
        (**self).finish()
    }
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

/// A video that has started: what a sink was told, and how many of the frames it has.
#[derive(Clone, Copy)]
struct Clip {
    info: VideoInfo,
    frames: usize,
}

impl Clip {
    fn new(info: &VideoInfo) -> Self {
        Self { info: *info, frames: 0 }
    }

    /// Holds the next frame against what was told.
    fn check_frame(&self, frame: &Frame) -> Result<()> {
        if self.frames == self.info.frames {
            let why = format!("one more than the {} that were announced", self.frames);
            return Err(Error::Request { what: "frames", why });
        }
        self.info.check_frame(frame)
    }

    fn check_complete(&self) -> Result<()> {
        if self.frames == self.info.frames {
            return Ok(());
        }
        let why = format!("{} came, {} were announced", self.frames, self.info.frames);
        Err(Error::Request { what: "frames", why })
    }
}

/// The error of a call that comes before `start`, after `finish` or after another error.
fn out_of_order(call: &str) -> Error {
    Error::Request { what: "frame sink", why: format!("{call} was called out of order or after an error") }
}
