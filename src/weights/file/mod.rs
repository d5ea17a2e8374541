//! Bytes of files: mapped, read or in memory.

pub(crate) mod bytes;
pub(crate) mod data;
pub(crate) mod files;
