//! Formats of files of tensors: from bytes to named tensors.

pub(crate) mod header;
pub(crate) mod read;
pub(crate) mod safetensors;
pub(crate) mod sniff;
