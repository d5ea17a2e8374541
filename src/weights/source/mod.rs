//! Where a checkpoint's files are.

pub(crate) mod checkpoint;
pub(crate) mod fingerprint;
pub(crate) mod layout;
pub(crate) mod model_index;
pub(crate) mod remedy;
