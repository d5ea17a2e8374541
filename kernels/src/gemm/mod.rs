//! Matrix products: packed panels, a register tile, and the loops around them that `linear` and `conv3d` share.

pub(crate) mod driver;
mod linear;
pub(crate) mod narrow;
pub(crate) mod operands;
pub(crate) mod pack;
mod skinny;
#[cfg(test)]
mod tests;
pub(crate) mod tile;

pub use linear::{linear, linear_add, linear_scratch};
