//! The sizes and lengths that a model can make.

use crate::error::{Error, Result};
use crate::models::{wan, wan_vae};

/// Larger sides and longer videos are mistakes; the bound keeps all arithmetic on sizes far from overflow.
const MAX_PIXELS: usize = 16_384;
const MAX_FRAMES: usize = 100_001;

/// What transformer and VAE together can make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Channels of the latent.
    channels: usize,
    /// Frames and pixels along each side for a latent position.
    temporal: usize,
    spatial: usize,
    /// Latent positions in one token: frames, rows, columns.
    patch: [usize; 3],
    /// The most tokens along each axis.
    positions: usize,
}

impl Limits {
    /// Those of two models; the latent has the VAE's channels, whatever else the transformer reads beside it.
    pub fn new(transformer: &wan::Config, vae: &wan_vae::Config) -> Self {
        Self {
            channels: vae.z_dim,
            temporal: vae.temporal_factor(),
            spatial: vae.spatial_factor(),
            patch: transformer.patch_size,
            positions: transformer.rope_max_seq_len,
        }
    }

    /// Checks width and height in pixels.
    pub fn check_size(&self, width: usize, height: usize) -> Result<()> {
        let [_, ph, pw] = self.patch;
        for (what, pixels, unit) in [("width", width, self.spatial * pw), ("height", height, self.spatial * ph)] {
            let most = (MAX_PIXELS / unit).min(self.positions) * unit;
            if pixels > most {
                return Err(Error::Request { what, why: format!("{pixels} is too many; at most {most} can be done") });
            }
            if pixels == 0 || pixels % unit != 0 {
                let nearest = ((pixels + unit / 2) / unit * unit).clamp(unit, most);
                let why = format!("{pixels} is no multiple of {unit}; the nearest is {nearest}");
                return Err(Error::Request { what, why });
            }
        }
        Ok(())
    }

    /// The numbers of frames that can be made.
    pub fn frames(&self) -> FrameGrid {
        let (factor, unit) = (self.temporal, self.temporal * self.patch[0]);
        // Latent frames come in multiples of the patch; of latent frames, the first is one frame, the rest `factor`.
        let first = unit - factor + 1;
        let patches = (MAX_FRAMES / unit).min(self.positions);
        FrameGrid { first, unit, most: patches.saturating_sub(1) * unit + first }
    }

    /// `[C, T, H, W]` of the latent of a video of these (checked) sizes.
    pub fn latent(&self, frames: usize, height: usize, width: usize) -> [usize; 4] {
        [self.channels, (frames - 1) / self.temporal + 1, height / self.spatial, width / self.spatial]
    }
}

/// The numbers of frames that a model can make: `first`, and `unit` more each time, up to `most`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameGrid {
    first: usize,
    unit: usize,
    most: usize,
}

impl FrameGrid {
    /// Checks a number of frames.
    pub fn check(&self, frames: usize) -> Result<()> {
        let Self { first, unit, most } = *self;
        let refuse = |why: String| Err(Error::Request { what: "frames", why });
        if frames > most {
            return refuse(format!("{frames} is too many; at most {most} can be done"));
        }
        if frames < first || !(frames - first).is_multiple_of(unit) {
            let (second, third, nearest) = (first + unit, first + 2 * unit, self.nearest(frames));
            return refuse(format!("{frames} is not one of {first}, {second}, {third}, ...; the nearest is {nearest}"));
        }
        Ok(())
    }

    /// The nearest number that can be made; of two equally near the larger.
    pub fn nearest(&self, frames: usize) -> usize {
        let over = frames.min(self.most).saturating_sub(self.first);
        ((over + self.unit / 2) / self.unit * self.unit + self.first).min(self.most)
    }

    /// The largest number that can be made.
    pub fn most(&self) -> usize {
        self.most
    }
}
