//! YUV4MPEG2: uncompressed video that players and encoders read without more tools.
//!
//! Frames are stored as 4:4:4, which loses nothing but the rounding to Y'CbCr and has no rule for odd sizes. The format
//! cannot name its colour matrix, so the one is used that players assume: BT.709 from 1280 columns or 577 rows up, BT.601
//! below, both in the limited range (which the header does name, in the field that FFmpeg introduced).

use std::io::Write;

use super::colour::Weights;
use super::file::{Encoder, FileSink};
use super::{Frame, VideoInfo};
use crate::error::Result;
use crate::video::output::Output;

/// A sink that writes one y4m file or stream: 4:4:4, limited range, BT.709 from 1280 columns or 577 rows up, else BT.601.
///
/// A comment is dropped: readers bound the header to a hundred bytes.
pub type Y4m = FileSink<Y4mEncoder>;

impl Y4m {
    /// A stream such as standard output; `name` stands for it in messages.
    pub fn stream(writer: impl Write + Send + 'static, name: &str) -> Self {
        Self::to(Output::stream(Box::new(writer), name))
    }
}

/// Writes y4m.
#[derive(Default)]
pub struct Y4mEncoder;

impl Encoder for Y4mEncoder {
    fn start(&mut self, info: &VideoInfo, _: Option<&str>, out: &mut Output) -> Result<()> {
        let VideoInfo { width, height, fps, .. } = info;
        let (rate, scale) = (fps.numerator(), fps.denominator());
        let header = format!("YUV4MPEG2 W{width} H{height} F{rate}:{scale} Ip A1:1 C444 XCOLORRANGE=LIMITED\n");
        out.write(header.as_bytes())
    }

    fn frame(&mut self, frame: &Frame, out: &mut Output) -> Result<()> {
        let weights = Weights::of_size(frame.width, frame.height);
        let head = b"FRAME\n";
        let pixels = frame.width * frame.height;
        let mut bytes = vec![0; head.len() + 3 * pixels];
        bytes[..head.len()].copy_from_slice(head);
        let (y, chroma) = bytes[head.len()..].split_at_mut(pixels);
        let (cb, cr) = chroma.split_at_mut(pixels);
        for (i, rgb) in frame.rgb().as_chunks::<3>().0.iter().enumerate() {
            [y[i], cb[i], cr[i]] = weights.convert(*rgb);
        }
        out.write(&bytes)
    }

    fn finish(&mut self, _: &mut Output) -> Result<()> {
        Ok(())
    }
}
