use crate::weights::storage::Storage;

/// How a weight lies on a GPU: as it is stored, or as shaders for cooperative matrices read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GpuLayout {
    pub storage: Storage,
    /// Whether shaders for cooperative matrices take it: of F16, and the taps of a kernel outside its channels.
    pub cooperative: bool,
}
