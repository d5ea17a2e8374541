//! Latents to frames.

use super::open::Pipeline;
use super::progress::{OnProgress, Progress};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::models::wan_vae;
use crate::tensor::Tensor;
use crate::video::{Frame, FrameRate, FrameSink, VideoInfo};

impl Pipeline {
    /// Decodes final latents `[C, T, H, W]` into a video of its own: [`decode_frames`](Self::decode_frames) between `start`
    /// and `finish` of the sink.
    ///
    /// # Errors
    /// Those of [`decode_frames`](Self::decode_frames) and of the sink.
    pub fn decode(
        &self,
        device: &Device,
        latents: &Tensor,
        fps: impl Into<FrameRate>,
        sink: &mut dyn FrameSink,
        progress: OnProgress,
    ) -> Result<()> {
        let [width, height, frames] = self.decoded_size(latents)?;
        sink.start(&VideoInfo { width, height, fps: fps.into(), frames })?;
        self.decode_frames(device, latents, sink, progress)?;
        sink.finish()
    }

    /// Decodes final latents `[C, T, H, W]` and hands each frame to `sink`, which the caller starts and finishes: several
    /// clips can go into one video. One latent frame is decoded at a time.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Request`], [`Error::Checkpoint`], [`Error::NotFinite`], [`Error::OutOfMemory`],
    /// [`Error::Cancelled`] and whatever the sink returns for a frame.
    pub fn decode_frames(
        &self,
        device: &Device,
        latents: &Tensor,
        sink: &mut dyn FrameSink,
        progress: OnProgress,
    ) -> Result<()> {
        let [_, _, total] = self.decoded_size(latents)?;
        let latents = &latents.to_device(device)?;
        let decoder = self.vae_decoder(device, progress)?;
        let mut state = wan_vae::DecoderState::default();
        let mut done = 0;
        let decoded = decoder.decode(&mut state, latents, &mut |video| {
            let &[count, height, width, _] = video.dims() else { unreachable!("the decoder hands on video") };
            for t in 0..count {
                device.check()?;
                sink.frame(&Frame::from_signed(width, height, &video.narrow(t..t + 1)?.values()?)?)?;
                done += 1;
                progress(Progress::Frame { done, total });
            }
            Ok(())
        });
        drop(state);
        if let Err(Error::NotFinite { stage, .. }) = decoded {
            // What was remembered of earlier frames is overwritten: from the first one, then, up to where it happened.
            let again = || decoder.decode(&mut wan_vae::DecoderState::default(), latents, &mut |_| Ok(()));
            return Err(device.examine((stage, None), again));
        }
        decoded?;
        drop(decoder);
        device.release_unused();
        Ok(())
    }

    /// Width, height and frames of the video that latents `[C, T, H, W]` become.
    fn decoded_size(&self, latents: &Tensor) -> Result<[usize; 3]> {
        let config = &self.components().need_vae()?.config;
        let &[channels, frames, height, width] = latents.dims() else {
            let right = [config.z_dim, 0, 0, 0].into();
            return Err(Error::Shape { op: "decode", left: latents.shape(), right, why: "a latent is [C, T, H, W]" });
        };
        let refuse = |why: String| Err(Error::Request { what: "latents", why });
        if channels != config.z_dim {
            return refuse(format!("they have {channels} channels, the VAE's have {}", config.z_dim));
        }
        if frames == 0 {
            return refuse("they hold no frame".into());
        }
        if !latents.is_finite()? {
            return refuse("some are not finite numbers".into());
        }
        let scale = config.spatial_factor();
        Ok([width * scale, height * scale, config.temporal_factor() * (frames - 1) + 1])
    }
}
