//! Activations on their own; as the last step of a linear layer they are part of it.

use crate::elementwise::{Op, map};
use crate::math;
use crate::simd::Simd;
use crate::{Activation, Exec};

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
