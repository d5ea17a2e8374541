//! Activations on their own; as the last step of a linear layer they are part of it.

use crate::Exec;
use crate::elementwise::{Op, map};
use crate::math;
use crate::simd::Simd;

/// What is applied to each number of a product, after the bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `x / (1 + e^-x)`.
    Silu,
    /// GELU in its tanh form.
    GeluTanh,
}

impl Activation {
    /// Applies it to sixteen numbers.
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::V) -> S::V {
        match self {
            Self::None => x,
            Self::Silu => math::silu(s, x),
            Self::GeluTanh => math::gelu_tanh(s, x),
        }
    }
}

/// Applies `act` to each number of `x`.
pub fn activate(exec: Exec, x: &mut [f32], act: Activation) {
    match act {
        Activation::None => {}
        Activation::Silu => map(exec, x, [], Silu),
        Activation::GeluTanh => map(exec, x, [], GeluTanh),
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl Op<0> for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, []: [S::V; 0]) -> S::V {
        math::silu(s, x)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;

impl Op<0> for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, []: [S::V; 0]) -> S::V {
        math::gelu_tanh(s, x)
    }
}
