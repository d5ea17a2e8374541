//! Larger pixels.

use super::{Frame, FrameSink, VideoInfo};
use crate::error::{Error, Result};

/// A sink in front of another: each pixel becomes a square of `factor` by `factor` equal ones.
pub struct Zoom<S> {
    sink: S,
    factor: usize,
}

impl<S: FrameSink> Zoom<S> {
    /// Enlarges what goes into `sink`.
    ///
    /// # Errors
    /// [`Error::Request`] if `factor` is 0.
    pub fn new(sink: S, factor: usize) -> Result<Self> {
        if factor == 0 {
            return Err(Error::Request { what: "zoom", why: "0 leaves nothing; 1 is the size as it is".into() });
        }
        Ok(Self { sink, factor })
    }

    /// What the other sink is told; a size beyond all numbers is the largest number, which no sink takes.
    fn zoomed(&self, info: &VideoInfo) -> VideoInfo {
        let [width, height] = [info.width, info.height].map(|edge| edge.saturating_mul(self.factor));
        VideoInfo { width, height, ..*info }
    }
}

impl<S: FrameSink> FrameSink for Zoom<S> {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        self.sink.check(&self.zoomed(info))
    }

    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        self.sink.start(&self.zoomed(info))
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        if self.factor == 1 {
            return self.sink.frame(frame);
        }
        let (width, height) = (frame.width * self.factor, frame.height * self.factor);
        let mut rgb = Vec::with_capacity(3 * width * height);
        for row in frame.rgb.chunks_exact(3 * frame.width) {
            let start = rgb.len();
            for pixel in row.as_chunks::<3>().0 {
                (0..self.factor).for_each(|_| rgb.extend(pixel));
            }
            let end = rgb.len();
            (1..self.factor).for_each(|_| rgb.extend_from_within(start..end));
        }
        self.sink.frame(&Frame::new(width, height, rgb)?)
    }

    fn finish(&mut self) -> Result<()> {
        self.sink.finish()
    }
}
