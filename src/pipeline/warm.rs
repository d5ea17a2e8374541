//! Models that stay loaded between requests.

use std::sync::{Arc, Mutex, PoisonError};

use crate::device::Device;
use crate::error::Result;
use crate::models::{umt5, wan, wan_vae};

/// A model that stays loaded for the next request on its device.
pub(super) struct Slot<M>(Mutex<Option<(Device, Arc<M>)>>);

impl<M> Default for Slot<M> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<M> Slot<M> {
    /// The model that is there for `device`, or one that `load` makes and that stays if `keep`.
    pub fn get(&self, device: &Device, keep: bool, load: impl FnOnce() -> Result<M>) -> Result<Arc<M>> {
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
pub(super) struct Warm {
    pub text_encoder: Slot<umt5::Encoder>,
    pub transformers: [Slot<wan::Transformer>; 2],
    pub vae_decoder: Slot<wan_vae::Decoder>,
}

impl Warm {
    pub fn clear(&self) {
        self.text_encoder.clear();
        self.transformers.iter().for_each(Slot::clear);
        self.vae_decoder.clear();
    }
}
