//! Layers: weights beside their shapes, `load` from a checkpoint scope, `forward`.

mod conv;
mod linear;
mod mlp;
mod norm;

pub(crate) use conv::{CausalConv3d, Conv2d, Tail};
pub(crate) use linear::Linear;
pub(crate) use mlp::Mlp;
pub(crate) use norm::{ChannelNorm, LayerNorm, RmsNorm};

use std::borrow::Cow;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::ops;
use crate::tensor::Tensor;
use crate::weights::Weights;

/// A small vector of a checkpoint, widened to F32 on the device.
pub(crate) fn vector(weights: &Weights, name: &str, len: usize, device: &Device) -> Result<Tensor> {
    Tensor::from_weight(device, [len], &weights.flat(name, &[len])?)
}

/// A small table of vectors, widened to F32 on the device.
pub(crate) struct Table {
    name: String,
    rows: Tensor, // [rows, D]
}

impl Table {
    /// Loads the tensor called `name`.
    pub fn load(weights: &Weights, name: &str, rows: usize, width: usize, device: &Device) -> Result<Self> {
        let rows = Tensor::from_weight(device, [rows, width], &weights.flat(name, &[rows, width])?)?;
        Ok(Self { name: weights.at(name).scope().into(), rows })
    }

    /// With 1 added to some of its rows: those that scale by 1 more than what is learned.
    pub fn one_more(mut self, rows: &[usize]) -> Result<Self> {
        let &[all, width] = self.rows.dims() else { unreachable!("a table has two axes") };
        let ones: Vec<f32> = (0..all * width).map(|i| f32::from(u8::from(rows.contains(&(i / width))))).collect();
        let ones = Tensor::from_slice(self.rows.device(), [all, width], &ones)?;
        self.rows = ops::add(self.rows, &ones)?;
        Ok(self)
    }

    /// `x` `[rows, D]` plus the table.
    pub fn added_to(&self, x: Tensor) -> Result<Tensor> {
        result_of(&self.name, ops::add(x, &self.rows)?)
    }

    /// What it is called in its checkpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The values, row by row.
    pub fn values(&self) -> Result<Cow<'_, [f32]>> {
        self.rows.values()
    }
}

/// The result `x` of the layer called `layer`, unless layers are examined one by one and this one's is not finite.
pub(crate) fn result_of(layer: &str, x: Tensor) -> Result<Tensor> {
    match x.device().examined() {
        Some((stage, step)) if !x.is_finite()? => Err(Error::NotFinite { stage, step, layer: Some(layer.to_owned()) }),
        _ => Ok(x),
    }
}
