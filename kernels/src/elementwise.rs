//! Ops that make each number from itself and its neighbours in other slices, in place.

use crate::Exec;
use crate::simd::{Kernel, LANES, Simd};
use crate::tasks::{TASK, pieces, rows_of_a_task};

/// What becomes of some numbers of x and those of each operand that belong to them.
pub(crate) trait Op<const N: usize>: Copy + Sync {
    fn apply<S: Simd>(self, s: S, x: S::V, operands: [S::V; N]) -> S::V;
}

/// A slice beside x.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// One number for each of x.
    Each(&'a [f32]),
    /// One row, the same beside each row of x.
    Row(&'a [f32]),
}

/// Applies `op` to x in place; all rows of operands have the same width, and x whole rows of it.
pub(crate) fn map<const N: usize>(exec: Exec, x: &mut [f32], operands: [Operand<'_>; N], op: impl Op<N>) {
    let mut width = None;
    for operand in operands {
        match operand {
            Operand::Each(each) => assert_eq!(each.len(), x.len(), "one number beside each number"),
            Operand::Row(row) => {
                assert!(row.len() == *width.get_or_insert(row.len()), "operands of one width");
                assert!(
                    !row.is_empty() && x.len().is_multiple_of(row.len()),
                    "{} numbers in rows of {}",
                    x.len(),
                    row.len()
                );
            }
        }
    }
    // Without rows the whole piece is one.
    let (width, piece) = width.map_or((TASK, TASK), |width| (width, rows_of_a_task(width)));
    pieces(exec, x, piece, |at, x| {
        let operands = operands.map(|operand| match operand {
            Operand::Each(each) => Operand::Each(&each[at..at + x.len()]),
            row => row,
        });
        exec.run(Map { x, width, operands, op });
    });
}

struct Map<'a, const N: usize, O> {
    x: &'a mut [f32],
    width: usize,
    operands: [Operand<'a>; N],
    op: O,
}

impl<const N: usize, O: Op<N>> Kernel for Map<'_, N, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, width, operands, op } = self;
        for (r, row) in x.chunks_mut(width).enumerate() {
            let mut beside = [&[][..]; N];
            for (slice, operand) in beside.iter_mut().zip(operands) {
                *slice = match operand {
                    Operand::Each(each) => &each[r * width..][..row.len()],
                    Operand::Row(values) => &values[..row.len()],
                };
            }
            let (vectors, rest) = row.as_chunks_mut::<LANES>();
            let start_of_rest = LANES * vectors.len();
            for (i, vector) in vectors.iter_mut().enumerate() {
                let mut lanes = [s.zero(); N];
                for (lane, slice) in lanes.iter_mut().zip(beside) {
                    *lane = s.load(&slice.as_chunks::<LANES>().0[i]);
                }
                let result = op.apply(s, s.load(vector), lanes);
                s.store(result, vector);
            }
            if !rest.is_empty() {
                let mut lanes = [s.zero(); N];
                for (lane, slice) in lanes.iter_mut().zip(beside) {
                    *lane = s.load_partial(&slice[start_of_rest..]);
                }
                let result = op.apply(s, s.load_partial(rest), lanes);
                s.store_partial(result, rest);
            }
        }
    }
}

/// `x * (1 + scale) + shift` for each row of `scale.len()` numbers.
pub fn modulate(exec: Exec, x: &mut [f32], scale: &[f32], shift: &[f32]) {
    map(exec, x, [Operand::Row(scale), Operand::Row(shift)], Modulate);
}

/// `x * scale + shift` for each row of `scale.len()` numbers.
pub fn affine(exec: Exec, x: &mut [f32], scale: &[f32], shift: &[f32]) {
    map(exec, x, [Operand::Row(scale), Operand::Row(shift)], Affine);
}

/// `x + y * gate`, `y` as long as `x`, `gate` the same for each row of `gate.len()` numbers.
pub fn gated_add(exec: Exec, x: &mut [f32], y: &[f32], gate: &[f32]) {
    map(exec, x, [Operand::Each(y), Operand::Row(gate)], GatedAdd);
}

/// `x + y`, `y` as long as `x`.
pub fn add(exec: Exec, x: &mut [f32], y: &[f32]) {
    map(exec, x, [Operand::Each(y)], Add);
}

/// `x * y`, `y` as long as `x`.
pub fn mul(exec: Exec, x: &mut [f32], y: &[f32]) {
    map(exec, x, [Operand::Each(y)], Mul);
}

/// Numbers below `low` become `low`, those above `high` become `high`; NaN stays.
pub fn clamp(exec: Exec, x: &mut [f32], low: f32, high: f32) {
    assert!(low <= high, "from {low} to {high}");
    map(exec, x, [], Clamp { low, high });
}

#[derive(Clone, Copy)]
struct Modulate;

impl Op<2> for Modulate {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, [scale, shift]: [S::V; 2]) -> S::V {
        s.fma(x, s.splat(1.0) + scale, shift)
    }
}

#[derive(Clone, Copy)]
struct Affine;

impl Op<2> for Affine {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, [scale, shift]: [S::V; 2]) -> S::V {
        s.fma(x, scale, shift)
    }
}

#[derive(Clone, Copy)]
struct GatedAdd;

impl Op<2> for GatedAdd {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, [y, gate]: [S::V; 2]) -> S::V {
        s.fma(y, gate, x)
    }
}

#[derive(Clone, Copy)]
struct Add;

impl Op<1> for Add {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: S::V, [y]: [S::V; 1]) -> S::V {
        x + y
    }
}

#[derive(Clone, Copy)]
struct Mul;

impl Op<1> for Mul {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: S::V, [y]: [S::V; 1]) -> S::V {
        x * y
    }
}

#[derive(Clone, Copy)]
struct Clamp {
    low: f32,
    high: f32,
}

impl Op<0> for Clamp {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, []: [S::V; 0]) -> S::V {
        // In this order of arguments a NaN passes.
        s.max(s.splat(self.low), s.min(s.splat(self.high), x))
    }
}
