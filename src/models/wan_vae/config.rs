//! Configuration of the autoencoder, as diffusers writes it.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Result;
use crate::models::check::{Check, WIDTH};
use crate::weights::json;

/// `config.json` of an AutoencoderKLWan; absent keys have diffusers' defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Channels of the encoder's first layer.
    pub base_dim: usize,
    decoder_base_dim: Option<usize>,
    /// Channels of the latent.
    pub z_dim: usize,
    /// Channels of each level as multiples of the base.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of an encoder level; the decoder's levels have one more.
    pub num_res_blocks: usize,
    attn_scales: Vec<f64>,
    /// Whether each step down halves time as well; the spelling is diffusers'. The decoder uses it in reverse order.
    pub temperal_downsample: Vec<bool>,
    /// Mean of each latent channel: normalised = (latent - mean) / std.
    pub latents_mean: Vec<f32>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f32>,
    is_residual: Option<Value>,
    /// Channels of the pictures that the encoder takes.
    pub in_channels: usize,
    /// Channels of the pictures that the decoder gives.
    pub out_channels: usize,
    patch_size: Option<Value>,
    scale_factor_temporal: Option<usize>,
    scale_factor_spatial: Option<usize>,
    #[serde(rename = "_class_name")]
    class_name: Option<Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_dim: 96,
            decoder_base_dim: None,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            attn_scales: Vec::new(),
            temperal_downsample: vec![false, true, true],
            latents_mean: vec![
                -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
                -0.1922, -0.9497, 0.2503, -0.2921,
            ],
            latents_std: vec![
                2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
                1.1253, 2.8251, 1.9160,
            ],
            is_residual: None,
            in_channels: 3,
            out_channels: 3,
            patch_size: None,
            scale_factor_temporal: Some(4),
            scale_factor_spatial: Some(8),
            class_name: None,
        }
    }
}

/// One level of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Channels that come in.
    pub inputs: usize,
    /// Channels of the level; a step up to the next halves them.
    pub outputs: usize,
    /// Residual blocks; the first takes `inputs` to `outputs`.
    pub resnets: usize,
    /// How the level ends.
    pub upsample: Upsample,
}

/// How a level ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upsample {
    /// No upsampling: the last level.
    None,
    /// Rows and columns double.
    Space,
    /// Frames double as well.
    SpaceAndTime,
}

/// More levels than any autoencoder has.
const MAX_LEVELS: usize = 8;

impl Config {
    /// Reads and validates a `config.json`.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key that is malformed, out of bounds or not supported.
    pub fn read(file: &Path) -> Result<Self> {
        let config: Self = json::read_config(file)?;
        config.validate(file)?;
        Ok(config)
    }

    /// The number of levels; between two of them space is halved.
    pub fn levels(&self) -> usize {
        self.dim_mult.len()
    }

    /// Frames for each latent frame but the first: a clip has `temporal_factor * n + 1` frames.
    pub fn temporal_factor(&self) -> usize {
        1 << self.temperal_downsample.iter().filter(|halves| **halves).count()
    }

    /// Pixels along each side of a latent position.
    pub fn spatial_factor(&self) -> usize {
        1 << (self.levels() - 1)
    }

    /// The decoder's levels from the latent up.
    pub(super) fn decoder_levels(&self) -> Vec<Level> {
        let base = self.decoder_base_dim.unwrap_or(self.base_dim);
        let mut inputs = self.decoder_width();
        let step = |time: &bool| if *time { Upsample::SpaceAndTime } else { Upsample::Space };
        let steps = self.temperal_downsample.iter().rev().map(step).chain([Upsample::None]);
        let levels = self.dim_mult.iter().rev().zip(steps).map(|(mult, upsample)| {
            let outputs = base * mult;
            let level = Level { inputs, outputs, resnets: self.num_res_blocks + 1, upsample };
            inputs = outputs / 2;
            level
        });
        levels.collect()
    }

    /// Channels in the decoder's middle.
    pub fn decoder_width(&self) -> usize {
        self.decoder_base_dim.unwrap_or(self.base_dim) * self.dim_mult.last().copied().unwrap_or(1)
    }

    /// Checks all values; `file` is what errors name.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn validate(&self, file: &Path) -> Result<()> {
        let check = Check { file };
        check.class("_class_name", self.class_name.as_ref(), "AutoencoderKLWan")?;
        if let Some(residual) = self.is_residual.as_ref().filter(|v| !matches!(v, Value::Null | Value::Bool(false))) {
            let found = json::short(residual);
            return check
                .fail("is_residual", format!("the residual autoencoder (Wan2.2) is not supported, found {found}"));
        }
        check.unset("patch_size", self.patch_size.as_ref(), "patches of pixels (Wan2.2) are")?;
        if !self.attn_scales.is_empty() {
            return check.fail("attn_scales", "attention outside the middle is not supported, expected an empty list");
        }

        check.within("dim_mult", self.levels(), 1..=MAX_LEVELS).or_else(|_| {
            check.fail("dim_mult", format!("expected 1 to {MAX_LEVELS} levels, found {}", self.levels()))
        })?;
        for (key, base) in [("base_dim", Some(self.base_dim)), ("decoder_base_dim", self.decoder_base_dim)] {
            let Some(base) = base else { continue };
            check.within(key, base, WIDTH)?;
            for (level, &mult) in self.dim_mult.iter().enumerate() {
                check.within("dim_mult", mult, 1..=1024)?;
                check.width("dim_mult", base, mult)?;
                if level > 0 && base * mult < 2 {
                    return check.fail(key, "a step up halves the channels, and one channel has no half");
                }
            }
        }
        check.within("z_dim", self.z_dim, 1..=4096)?;
        check.within("num_res_blocks", self.num_res_blocks, 1..=64)?;
        check.within("in_channels", self.in_channels, 1..=4096)?;
        check.within("out_channels", self.out_channels, 1..=4096)?;
        if self.temperal_downsample.len() + 1 != self.levels() {
            let (found, steps) = (self.temperal_downsample.len(), self.levels() - 1);
            let why =
                format!("the {} levels of dim_mult have {steps} steps between them, found {found}", self.levels());
            return check.fail("temperal_downsample", why);
        }
        self.check_factor(&check, "scale_factor_temporal", self.scale_factor_temporal, self.temporal_factor())?;
        self.check_factor(&check, "scale_factor_spatial", self.scale_factor_spatial, self.spatial_factor())?;

        for (key, values) in [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)] {
            if values.len() != self.z_dim {
                let why =
                    format!("expected one number for each of z_dim = {} channels, found {}", self.z_dim, values.len());
                return check.fail(key, why);
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return check.fail(key, format!("expected finite numbers, found {value}"));
            }
        }
        match self.latents_std.iter().find(|value| **value <= 0.0) {
            None => Ok(()),
            Some(value) => check.fail("latents_std", format!("expected numbers above zero, found {value}")),
        }
    }

    /// Checks a factor that the file states, or diffusers' default, against the one that follows from the levels; null
    /// states none.
    fn check_factor(&self, check: &Check<'_>, key: &str, stated: Option<usize>, levels: usize) -> Result<()> {
        match stated {
            Some(stated) if stated != levels => {
                let why =
                    format!("is {stated} (diffusers' value where the key is absent), but the levels make {levels}");
                check.fail(key, format!("{why}; write \"{key}\": {levels}"))
            }
            _ => Ok(()),
        }
    }
}
