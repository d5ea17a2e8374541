//! The models of a pipeline, by what they do in it.

use crate::error::{Error, Result};
use crate::models::{Configs, umt5, wan, wan_vae};
use crate::sampler::SchedulerConfig;
use crate::weights::{Checkpoint, NameTable, Warning, Weights};

/// A model that is open: its configuration and its tensors, of which no matrix has been read.
#[derive(Clone)]
pub struct Component<C> {
    /// The (validated) configuration.
    pub config: C,
    /// The tensors, checked against the configuration's name table.
    pub weights: Weights,
}

/// A second transformer, and from where on it takes over.
#[derive(Clone)]
pub struct SecondTransformer {
    /// The model for the less noisy steps; its shape is the first one's.
    pub model: Component<wan::Config>,
    /// The share of the 1000 training timesteps below which it is asked in place of the first: steps at a timestep of
    /// `1000 * boundary` or more are the first one's (`boundary_ratio` of diffusers' WanPipeline).
    pub boundary: f64,
}

/// The models of a pipeline. A role that nobody plays is `None`; what needs it is then refused by name.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Components {
    /// Turns token ids into embeddings; not needed where prompts come as embeddings.
    pub text_encoder: Option<Component<umt5::Config>>,
    /// Tells the velocity of a latent.
    pub transformer: Option<Component<wan::Config>>,
    /// Takes over from the transformer for the less noisy steps.
    pub transformer_2: Option<SecondTransformer>,
    /// Turns latents into frames. Sampling needs its configuration, which decides the latent's shape.
    pub vae: Option<Component<wan_vae::Config>>,
    /// How steps are laid out and solved unless a request says otherwise.
    pub scheduler: Option<SchedulerConfig>,
}

impl Components {
    /// Opens all that a checkpoint has, and says what is odd about it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`] or [`Error::Config`] if something is missing, malformed or not supported.
    pub fn open(checkpoint: &Checkpoint) -> Result<(Self, Vec<Warning>)> {
        checkpoint.check_complete()?;
        let Configs { text_encoder, transformer, vae } = Configs::read(checkpoint)?;
        let file = checkpoint.config_path("scheduler");
        let scheduler = SchedulerConfig::of_class(checkpoint.object(&file)?, &file, checkpoint.class("scheduler"))?;
        let mut warnings = checkpoint.warnings().to_vec();
        let mut weights = |name, table: &NameTable| {
            let (weights, extra) = checkpoint.component(name, table)?;
            warnings.extend(extra);
            Ok::<_, Error>(weights)
        };
        let components = Self {
            text_encoder: Some(Component {
                weights: weights("text_encoder", &umt5::name_table(&text_encoder))?,
                config: text_encoder,
            }),
            transformer: Some(Component {
                weights: weights("transformer", &wan::name_table(&transformer))?,
                config: transformer,
            }),
            transformer_2: None,
            vae: Some(Component { weights: weights("vae", &wan_vae::name_table(&vae))?, config: vae }),
            scheduler: Some(scheduler),
        };
        Ok((components, warnings))
    }

    /// Checks that the models fit together.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |what, why: String| Err(Error::Request { what, why });
        let Some(transformer) = self.transformer.as_ref().map(|model| &model.config) else { return Ok(()) };
        if let Some(text) = self.text_encoder.as_ref().map(|model| &model.config)
            && text.d_model != transformer.text_dim
        {
            let why =
                format!("its embeddings are {} wide, the transformer reads {}", text.d_model, transformer.text_dim);
            return refuse("text encoder", why);
        }
        if let Some(vae) = self.vae.as_ref().map(|model| &model.config)
            && (vae.z_dim != transformer.out_channels() || transformer.in_channels < vae.z_dim)
        {
            let (inputs, outputs) = (transformer.in_channels, transformer.out_channels());
            let why = format!("its latent has {} channels, the transformer {inputs} in and {outputs} out", vae.z_dim);
            return refuse("VAE", why);
        }
        if let Some(SecondTransformer { model, boundary }) = &self.transformer_2 {
            let shape = |config: &wan::Config| {
                (config.patch_size, config.in_channels, config.out_channels(), config.text_dim, config.rope_max_seq_len)
            };
            if shape(&model.config) != shape(transformer) {
                return refuse("second transformer", "it reads or gives other shapes than the first one".into());
            }
            if !(*boundary >= 0.0 && *boundary <= 1.0) {
                return refuse("boundary", format!("{boundary} is no share of the timesteps: it must be from 0 to 1"));
            }
        }
        Ok(())
    }

    pub(super) fn need_text_encoder(&self) -> Result<&Component<umt5::Config>> {
        need(&self.text_encoder, "text encoder", "pass embeddings")
    }

    pub(super) fn need_transformer(&self) -> Result<&Component<wan::Config>> {
        need(&self.transformer, "transformer", "give it one to sample")
    }

    pub(super) fn need_vae(&self) -> Result<&Component<wan_vae::Config>> {
        need(&self.vae, "VAE", "give it one to make videos")
    }

    pub(super) fn need_scheduler(&self) -> Result<&SchedulerConfig> {
        need(&self.scheduler, "scheduler", "give it one to sample")
    }
}

fn need<'a, T>(role: &'a Option<T>, what: &'static str, remedy: &str) -> Result<&'a T> {
    role.as_ref().ok_or_else(|| Error::Request { what, why: format!("this pipeline has none; {remedy}") })
}
