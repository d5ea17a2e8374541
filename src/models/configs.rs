//! The configurations of a pipeline's models, and that they fit together.

use super::check::Check;
use super::{umt5, wan, wan_vae};
use crate::error::Result;
use crate::weights::Checkpoint;

/// The configurations of one checkpoint's models, validated one by one and against each other.
#[derive(Clone, Debug)]
pub struct Configs {
    /// The text encoder's.
    pub text_encoder: umt5::Config,
    /// The transformer's.
    pub transformer: wan::Config,
    /// The autoencoder's.
    pub vae: wan_vae::Config,
}

impl Configs {
    /// Reads the three `config.json` of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming file and key when one is malformed, not supported or does not fit
    /// the others.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self> {
        let configs = Self {
            text_encoder: checkpoint.config("text_encoder")?,
            transformer: checkpoint.config("transformer")?,
            vae: checkpoint.config("vae")?,
        };
        configs.text_encoder.validate(&checkpoint.config_path("text_encoder"))?;
        configs.transformer.validate(&checkpoint.config_path("transformer"))?;
        configs.vae.validate(&checkpoint.config_path("vae"))?;
        let file = checkpoint.config_path("transformer");
        let check = Check { file: &file };
        let Self { text_encoder, transformer, vae } = &configs;
        if transformer.text_dim != text_encoder.d_model {
            let why = format!("is {}, the text encoder's d_model is {}", transformer.text_dim, text_encoder.d_model);
            return check.fail("text_dim", why);
        }
        // The autoencoder decides how many channels a latent has: a transformer may read more beside them.
        let fits = |channels: usize| format!("is {channels}, the autoencoder's z_dim is {}", vae.z_dim);
        if transformer.out_channels() != vae.z_dim {
            return check.fail("out_channels", fits(transformer.out_channels()));
        }
        if transformer.in_channels < vae.z_dim {
            return check.fail("in_channels", fits(transformer.in_channels));
        }
        let file = checkpoint.config_path("vae");
        if vae.out_channels != 3 {
            let why = format!("frames are RGB, so it must be 3, found {}", vae.out_channels);
            return Check { file: &file }.fail("out_channels", why);
        }
        Ok(configs)
    }
}
