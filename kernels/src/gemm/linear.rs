//! Linear layers.

use std::ops::Range;

use super::operands::{After, Left, Weights};
use super::{driver, skinny};
use crate::{Activation, Exec, Stored};

/// `out = act(x w^T + bias)`: a linear layer with the weight as PyTorch stores it.
///
/// `x` is `[rows, k]`, `w` `[n, k]`, `bias` `[n]` and `out` `[rows, n]`, all row-major. Each number is summed in an order
/// that depends on the shape alone: one level gives the same bits on any number of threads.
///
/// # Panics
///
/// If a slice is not as long as the shape says.
pub fn linear(
    exec: Exec,
    x: &[f32],
    w: Stored,
    rows: usize,
    k: usize,
    n: usize,
    bias: Option<&[f32]>,
    act: Activation,
    out: &mut [f32],
) {
    layer(exec, x, w, [rows, k, n], bias, After::Act(act), out);
}

/// `out += gate * (x w^T + bias)`: a linear layer, times one row of `gate` if there is one, added to what `out` holds.
///
/// Shapes are those of [`linear`], `gate` is `[n]`. The sum of a row is begun with what was there, so that nothing but
/// `out` is read or written.
///
/// # Panics
///
/// If a slice is not as long as the shape says.
pub fn linear_add(
    exec: Exec,
    x: &[f32],
    w: Stored,
    rows: usize,
    k: usize,
    n: usize,
    bias: Option<&[f32]>,
    gate: Option<&[f32]>,
    out: &mut [f32],
) {
    assert!(gate.is_none_or(|g| g.len() == n), "linear: gate is [{n}]");
    layer(exec, x, w, [rows, k, n], bias, After::Add(gate), out);
}

fn layer(
    exec: Exec,
    x: &[f32],
    w: Stored,
    [rows, k, n]: [usize; 3],
    bias: Option<&[f32]>,
    then: After,
    out: &mut [f32],
) {
    assert_eq!(x.len(), rows * k, "linear: x is [{rows}, {k}]");
    assert_eq!(w.len(), n * k, "linear: w is [{n}, {k}]");
    assert_eq!(out.len(), rows * n, "linear: out is [{rows}, {n}]");
    assert!(bias.is_none_or(|b| b.len() == n), "linear: bias is [{n}]");
    if rows <= skinny::ROWS {
        skinny::run(exec, skinny::Layer { x, rows, k, n, bias, then }, w, out);
    } else {
        driver::product(exec, &Matrix { x, k }, rows, Weights { w, n, bias, then }, out);
    }
}

/// Bytes of working memory that [`linear`] keeps on each thread, at most.
pub fn linear_scratch(rows: usize, k: usize, n: usize) -> usize {
    if rows <= skinny::ROWS { 0 } else { driver::scratch_bytes(rows, k, 1, n) }
}

/// A row-major matrix as the left operand.
struct Matrix<'a> {
    x: &'a [f32],
    k: usize,
}

impl Left for Matrix<'_> {
    type Place = usize;

    fn channels(&self) -> usize {
        self.k
    }

    fn taps(&self) -> usize {
        1
    }

    fn touches(&self, _rows: Range<usize>, _tap: usize) -> bool {
        true
    }

    #[inline(always)]
    fn place(&self, row: usize) -> usize {
        row * self.k
    }

    #[inline(always)]
    fn run(&self, place: usize, _tap: usize, channels: Range<usize>) -> &[f32] {
        &self.x[place + channels.start..place + channels.end]
    }
}
