//! How a weight lies on a GPU.

use crate::weights::storage::Storage;

/// How a weight lies on a GPU: as it is stored, or as shaders for cooperative matrices read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GpuLayout {
    pub storage: Storage,
    /// Whether shaders for cooperative matrices take it: of F16, and the taps of a kernel outside its channels.
    pub cooperative: bool,
}

impl GpuLayout {
    /// Whether `shaders/include/weight.glsl` decodes the storage type. A type that it does not know it would take for BF16.
    #[cfg_attr(not(feature = "vulkan"), cfg_attr(not(test), expect(dead_code, reason = "nothing is uploaded")))]
    pub fn is_decoded(self) -> bool {
        matches!(self.storage, Storage::F32 | Storage::F16 | Storage::BF16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shaders_decode_every_storage_type() {
        for storage in Storage::all() {
            let layout = GpuLayout { storage, cooperative: false };
            assert!(
                layout.is_decoded() && storage.shader_constant() <= 2,
                "{storage}: teach weight.glsl, then is_decoded"
            );
        }
    }
}
