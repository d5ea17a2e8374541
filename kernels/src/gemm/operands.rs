//! The operands of a matrix product and what follows it: shared by the blocked loops and by those for few columns or rows.

use std::ops::Range;

use crate::simd::Simd;
use crate::{Activation, Stored};

/// A run of zeros, as long as the longest run of [`Left::run`].
pub(crate) static ZEROS: [f32; 512] = [0.0; 512];

/// The left operand: rows of `taps x channels` numbers, which need not lie in memory as such.
pub(crate) trait Left: Sync {
    /// What is worked out once per row.
    type Place: Copy + Default;

    /// Numbers of a row under one tap.
    fn channels(&self) -> usize;
    /// Taps of a row.
    fn taps(&self) -> usize;
    /// Whether one of the rows has numbers other than zero under the tap.
    fn touches(&self, rows: Range<usize>, tap: usize) -> bool;
    /// A row's place.
    fn place(&self, row: usize) -> Self::Place;
    /// Some channels of a row under one tap.
    fn run(&self, place: Self::Place, tap: usize, channels: Range<usize>) -> &[f32];
}

/// The right operand, `[n][channels][taps]`, and what follows the product.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) w: Stored<'a>,
    pub(crate) n: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) then: After<'a>,
}

/// What becomes of the product and its bias.
#[derive(Clone, Copy)]
pub(crate) enum After<'a> {
    /// The output is this of them.
    Act(Activation),
    /// They are added to the output, each column times its factor if there are factors.
    Add(Option<&'a [f32]>),
}

impl After<'_> {
    /// The output's columns from `column` on, after `sum` and their bias and what `out` holds of them.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, s: S, sum: S::V, column: usize, out: &[f32]) -> S::V {
        match self {
            Self::Act(act) => act.apply(s, sum),
            Self::Add(None) => s.load_partial(out) + sum,
            Self::Add(Some(gate)) => s.fma(sum, s.load_partial(&gate[column..column + out.len()]), s.load_partial(out)),
        }
    }
}
