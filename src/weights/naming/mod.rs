//! Names of tensors: a model's table in diffusers' names, and other namings of the same models.

pub(crate) mod recognise;
pub(crate) mod table;
