//! Checkpoints: folders in the diffusers layout, safetensors files, both on disk or in memory, and the tensors in them.
//!
//! Everything here treats files as hostile: no input makes it panic, allocate more than a small multiple of what the
//! file itself takes, or leave the checkpoint's folder (links are followed: a hub's cache is made of them).
//!
//! From below: [`Storage`] says what stored numbers are and [`Weight`] holds those of one tensor; `file` gets bytes,
//! `format` makes named tensors of them, `component` collects a model's; `naming` says which tensors a model has and
//! under which names; [`Weights`] is what models ask; `source` finds the files of a checkpoint.

mod component;
mod file;
mod format;
pub(crate) mod hash;
pub(crate) mod json;
mod naming;
pub(crate) mod slot;
mod source;
pub(crate) mod storage;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod warning;
pub(crate) mod weight;

pub use file::bytes::Bytes;
pub use file::data::Mapping;
pub(crate) use file::data::read_regular;
#[cfg(feature = "tokenizer")]
pub(crate) use format::sniff::mistaken_for_json;
#[doc(hidden)]
pub use hash::hex;
pub use naming::table::NameTable;
pub use source::checkpoint::Checkpoint;
pub use storage::Storage;
pub(crate) use text::shown;
pub use view::Weights;
pub use warning::Warning;
pub use weight::Weight;
