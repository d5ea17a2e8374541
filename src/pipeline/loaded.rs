//! Models on a device: loaded when their stage starts.

use std::sync::Arc;

use super::components::Component;
use super::open::Pipeline;
use super::progress::{OnProgress, Progress};
use super::stage::Stage;
use crate::device::Device;
use crate::error::Result;
use crate::models::{umt5, wan, wan_vae};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// One of the transformers, with the prompts as its cross-attentions see them.
pub(super) struct Expert {
    /// 0, or 1 for the second one.
    pub which: usize,
    pub transformer: Arc<wan::Transformer>,
    contexts: Vec<wan::TextContext>,
}

impl Expert {
    /// The prompt, and the negative one for a guided step.
    pub fn texts(&self, guided: bool) -> Vec<&wan::TextContext> {
        self.contexts.iter().take(if guided { 2 } else { 1 }).collect()
    }

    pub fn stage(&self) -> Stage {
        stage(self.which)
    }
}

/// The stage of one of the transformers.
pub(super) fn stage(which: usize) -> Stage {
    if which == 0 { Stage::Transformer } else { Stage::Transformer2 }
}

impl Pipeline {
    /// Whether models stay loaded on a device; one that only counts has no use for it.
    fn keeps_on(&self, device: &Device) -> bool {
        self.keeps_loaded() && device.counted_weights().is_none()
    }

    /// The text encoder on a device.
    pub(super) fn text_encoder(&self, device: &Device, progress: OnProgress) -> Result<Arc<umt5::Encoder>> {
        let model = self.components().need_text_encoder()?;
        progress(Progress::Loading(Stage::TextEncoder));
        let load = || umt5::Encoder::load(&model.weights, model.config.clone(), device);
        self.warm().text_encoder.get(device, self.keeps_on(device), load)
    }

    /// The VAE's decoder on a device.
    pub(super) fn vae_decoder(&self, device: &Device, progress: OnProgress) -> Result<Arc<wan_vae::Decoder>> {
        let model = self.components().need_vae()?;
        progress(Progress::Loading(Stage::VaeDecoder));
        let load = || wan_vae::Decoder::load(&model.weights, model.config.clone(), device);
        self.warm().vae_decoder.get(device, self.keeps_on(device), load)
    }

    /// Which transformer is asked at a timestep.
    pub(super) fn expert_at(&self, timestep: f32) -> usize {
        let second = self.components().transformer_2.as_ref();
        usize::from(second.is_some_and(|second| f64::from(timestep) < second.boundary * 1000.0))
    }

    fn expert(&self, which: usize) -> Result<&Component<wan::Config>> {
        match &self.components().transformer_2 {
            Some(second) if which > 0 => Ok(&second.model),
            _ => self.components().need_transformer(),
        }
    }

    /// The tensors of one of the transformers.
    pub(super) fn expert_weights(&self, which: usize) -> Result<&Weights> {
        self.expert(which).map(|model| &model.weights)
    }

    /// One of the transformers on a device, with texts `[L, text_dim]` as it sees them.
    pub(super) fn load_expert(
        &self,
        device: &Device,
        which: usize,
        texts: &[Tensor],
        progress: OnProgress,
    ) -> Result<Expert> {
        let model = self.expert(which)?;
        progress(Progress::Loading(stage(which)));
        if !self.keeps_on(device) {
            device.release_unused();
        }
        let load = || wan::Transformer::load(&model.weights, model.config.clone(), device);
        let transformer = self.warm().transformers[which].get(device, self.keeps_on(device), load)?;
        let context = |text| match transformer.context(text)? {
            context if context.is_finite()? => Ok(context),
            _ => Err(device.examine((stage(which).name(), None), || transformer.context(text))),
        };
        let contexts = texts.iter().map(context).collect::<Result<_>>()?;
        Ok(Expert { which, transformer, contexts })
    }
}
