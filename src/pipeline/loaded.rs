//! Models on a device: loaded when their stage starts, and kept if the pipeline is to stay warm.

use std::sync::{Arc, Mutex, PoisonError};

use super::Pipeline;
use super::components::Component;
use super::progress::{OnProgress, Progress};
use super::stage::Stage;
use crate::device::Device;
use crate::error::Result;
use crate::models::{umt5, wan, wan_vae};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// A model that stays loaded for the next request on its device.
struct Slot<M>(Mutex<Option<(Device, Arc<M>)>>);

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<M> Slot<M> {
    /// The model that is there for `device`, or one that `load` makes and that stays if `keep`.
    fn get(&self, device: &Device, keep: bool, load: impl FnOnce() -> Result<M>) -> Result<Arc<M>> {
        if !keep {
            return load().map(Arc::new);
        }
        // Who comes second waits, and does not load it again.
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, model)) = slot.as_ref().filter(|(own, _)| own.is(device)) {
            return Ok(model.clone());
        }
        // Of another device: gone before the new one needs memory.
        *slot = None;
        let model = Arc::new(load()?);
        *slot = Some((device.clone(), model.clone()));
        Ok(model)
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The models that stay loaded.
#[derive(Default)]
pub(super) struct Loaded {
    text_encoder: Slot<umt5::Encoder>,
    transformers: [Slot<wan::Transformer>; 2],
    vae_decoder: Slot<wan_vae::Decoder>,
}

impl Loaded {
    pub fn clear(&self) {
        self.text_encoder.clear();
        self.transformers.iter().for_each(Slot::clear);
        self.vae_decoder.clear();
    }
}

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
        self.loaded().text_encoder.get(device, self.keeps_on(device), load)
    }

    /// The VAE's decoder on a device.
    pub(super) fn vae_decoder(&self, device: &Device, progress: OnProgress) -> Result<Arc<wan_vae::Decoder>> {
        let model = self.components().need_vae()?;
        progress(Progress::Loading(Stage::VaeDecoder));
        let load = || wan_vae::Decoder::load(&model.weights, model.config.clone(), device);
        self.loaded().vae_decoder.get(device, self.keeps_on(device), load)
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
        let transformer = self.loaded().transformers[which].get(device, self.keeps_on(device), load)?;
        let context = |text| match transformer.context(text)? {
            context if context.is_finite()? => Ok(context),
            _ => Err(device.examine((stage(which).name(), None), || transformer.context(text))),
        };
        let contexts = texts.iter().map(context).collect::<Result<_>>()?;
        Ok(Expert { which, transformer, contexts })
    }
}
