//! YUV4MPEG2: uncompressed video that players and encoders read without more tools.
//!
//! Frames are stored as 4:4:4, which loses nothing but the rounding to Y'CbCr and has no rule for odd sizes. The format
//! cannot name its colour matrix, so the one is used that players assume: BT.709 from 1280 columns or 577 rows up, BT.601
//! below, both in the limited range (which the header does name, in the field that FFmpeg introduced).

use std::io::Write;
use std::path::Path;

use super::colour::Weights;
use super::{Frame, FrameSink, VideoInfo, out_of_order};
use crate::error::Result;
use crate::output::Output;

/// A sink that writes one y4m file or stream.
pub struct Y4m {
    out: Option<Output>,
    info: Option<VideoInfo>,
}

impl Y4m {
    /// A file at `path`, made now under a hidden name in the same folder and renamed by `finish`; removed if this is
    /// dropped before.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) if `path` is a folder, or exists and not `force`;
    /// [`Error::Io`](crate::Error::Io) if the file cannot be made.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        Ok(Self { out: Some(Output::file(path, force)?), info: None })
    }

    /// A stream such as standard output; `name` stands for it in messages.
    pub fn stream(writer: impl Write + Send + 'static, name: &str) -> Self {
        Self { out: Some(Output::stream(Box::new(writer), name)), info: None }
    }

    /// Writes, and keeps the output only if that succeeds: after an error there is nothing to finish.
    fn write(&mut self, call: &str, bytes: &[u8]) -> Result<()> {
        let mut out = self.out.take().ok_or_else(|| out_of_order(call))?;
        out.write(bytes)?;
        self.out = Some(out);
        Ok(())
    }
}

impl FrameSink for Y4m {
    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        info.check()?;
        if self.info.is_some() {
            return Err(out_of_order("start"));
        }
        let VideoInfo { width, height, fps } = info;
        let header = format!("YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C444 XCOLORRANGE=LIMITED\n");
        self.write("start", header.as_bytes())?;
        self.info = Some(*info);
        Ok(())
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        let info = self.info.ok_or_else(|| out_of_order("frame"))?;
        info.check_frame(frame)?;
        let weights = Weights::of_size(info.width, info.height);
        let head = b"FRAME\n";
        let pixels = info.width * info.height;
        let mut bytes = vec![0; head.len() + 3 * pixels];
        bytes[..head.len()].copy_from_slice(head);
        let (y, chroma) = bytes[head.len()..].split_at_mut(pixels);
        let (cb, cr) = chroma.split_at_mut(pixels);
        for (i, rgb) in frame.rgb().as_chunks::<3>().0.iter().enumerate() {
            [y[i], cb[i], cr[i]] = weights.convert(*rgb);
        }
        self.write("frame", &bytes)
    }

    fn finish(&mut self) -> Result<()> {
        if self.info.is_none() {
            return Err(out_of_order("finish"));
        }
        self.out.take().ok_or_else(|| out_of_order("finish"))?.finish()
    }
}
