//! What a case's result should be: sums in double precision at sampled places, edges included.

use std::borrow::Cow;

use zoetrope::{Result, Tensor};

use crate::random::Random;
use crate::task::{EPS, Operands, Task, scale};
use speeds::case::{Attention, Case, Conv3d, Elementwise, ElementwiseKind, Linear, Norm, NormKind, ROPE_HEAD};

/// Places of the result that are looked at.
const SAMPLES: usize = 288;

/// Places of a result and the values that belong there.
pub struct Expected {
    places: Vec<usize>,
    values: Vec<f64>,
}

/// How far a result is off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Off {
    /// Places that were looked at.
    pub samples: usize,
    /// The largest difference.
    pub max_abs: f64,
    /// The root mean square of the differences as a share of the expected values' own.
    pub rel_rms: f64,
}

impl Expected {
    /// Values at sampled places of what `task` will give when it is run next.
    ///
    /// # Errors
    /// [`zoetrope::Error::Device`] if the operands cannot be read.
    pub fn new(case: &Case, task: &Task) -> Result<Self> {
        let (mut places, mut values) = (Vec::new(), Vec::new());
        let mut random = Random::new(0x5eed);
        match (case, task.operands()) {
            (Case::Linear(Linear { rows, k, n }), Operands::Linear { x, w, bias }) => {
                let (x, w, bias) = (x.values()?, w.to_vec(), bias.values()?);
                for [row, column] in sample([*rows, *n], &mut random) {
                    places.push(row * n + column);
                    values.push(dot(&x[row * k..][..*k], &w[column * k..][..*k]) + f64::from(bias[column]));
                }
            }
            (Case::Attention(shape), Operands::Attention { q, kv }) => {
                attention(shape, [q, &kv.key, &kv.value], &mut random, &mut places, &mut values)?;
            }
            (Case::Conv3d(conv), Operands::Conv3d { x, tail, w, bias }) => {
                let tail = tail.as_ref().map_or(Ok(Cow::Borrowed(&[][..])), Tensor::values)?;
                let (x, w, bias) = (x.values()?, w.to_vec(), bias.values()?);
                let &Conv3d { frames, height, width, outputs, .. } = conv;
                for [t, y, pixel, channel] in sample([frames, height, width, outputs], &mut random) {
                    places.push(((t * height + y) * width + pixel) * outputs + channel);
                    values.push(convolved(conv, &x, &tail, &w, [t, y, pixel, channel]) + f64::from(bias[channel]));
                }
            }
            (Case::Norm(Norm { kind, rows, width }), Operands::Rows { x, a, b }) => {
                let (x, a, b) = (x.values()?, a.values()?, b.values()?);
                for [row, column] in sample([*rows, *width], &mut random) {
                    places.push(row * width + column);
                    values.push(normed(*kind, &x[row * width..][..*width], column, a[column], b[column]));
                }
            }
            (Case::Elementwise(op), Operands::Rows { x, a, b }) => {
                let (x, a, b) = (x.values()?, a.values()?, b.values()?);
                let rows = if op.kind == ElementwiseKind::Upsample { 4 * op.rows } else { op.rows };
                for [row, column] in sample([rows, op.width], &mut random) {
                    places.push(row * op.width + column);
                    values.push(elementwise(op, &x, &a, &b, row, column));
                }
            }
            _ => {}
        }
        Ok(Self { places, values })
    }

    /// How far a result is from them; a place that is not there is infinitely far.
    ///
    /// # Errors
    /// [`zoetrope::Error::Device`] if the result cannot be read.
    pub fn compare(&self, result: &Tensor) -> Result<Off> {
        let result = result.values()?;
        let found = |place: &usize| result.get(*place).map_or(f64::INFINITY, |&value| f64::from(value));
        let (mut max_abs, mut errors, mut squares) = (0f64, 0.0, 0.0);
        for (place, value) in self.places.iter().zip(&self.values) {
            let error = (found(place) - value).abs();
            // A difference that is no number is no small one.
            max_abs = if error.is_nan() { f64::INFINITY } else { max_abs.max(error) };
            errors += if error.is_nan() { f64::INFINITY } else { error * error };
            squares += value * value;
        }
        let rel_rms = if errors == 0.0 { 0.0 } else { (errors / squares).sqrt() };
        Ok(Off { samples: self.places.len(), max_abs, rel_rms })
    }
}

/// Places on a grid: all its corners and as many others as it takes.
fn sample<const N: usize>(size: [usize; N], random: &mut Random) -> Vec<[usize; N]> {
    let corner = |bits: usize| std::array::from_fn(|axis| if bits >> axis & 1 == 1 { size[axis] - 1 } else { 0 });
    let mut places: Vec<[usize; N]> = (0..1 << N).map(corner).collect();
    places.resize_with(SAMPLES.max(places.len()), || std::array::from_fn(|axis| random.below(size[axis])));
    places
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// Some numbers of some heads of some rows: the scores of a row cost far more than its numbers.
fn attention(
    shape: &Attention,
    [q, k, v]: [&Tensor; 3],
    random: &mut Random,
    places: &mut Vec<usize>,
    values: &mut Vec<f64>,
) -> Result<()> {
    const EACH: usize = 12;
    let &Attention { heads, head_dim, queries, keys } = shape;
    let (width, factor) = (heads * head_dim, f64::from(scale(shape)));
    let (q, k, v) = (q.values()?, k.values()?, v.values()?);
    for [row, head] in sample([queries, heads], random).into_iter().take(SAMPLES / EACH) {
        let own = |x: &[f32], row: usize| -> Vec<f32> { x[row * width + head * head_dim..][..head_dim].to_vec() };
        let query = own(&q, row);
        let scores: Vec<f64> = (0..keys).map(|key| factor * dot(&query, &own(&k, key))).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = weights.iter().sum();
        for i in 0..EACH {
            let number = [0, head_dim - 1].get(i).copied().unwrap_or_else(|| random.below(head_dim));
            let sum = |(key, weight): (usize, &f64)| weight * f64::from(v[key * width + head * head_dim + number]);
            places.push(row * width + head * head_dim + number);
            values.push(weights.iter().enumerate().map(sum).sum::<f64>() / total);
        }
    }
    Ok(())
}

/// One number of a convolution, without bias.
fn convolved(conv: &Conv3d, x: &[f32], tail: &[f32], w: &[f32], [t, y, pixel, channel]: [usize; 4]) -> f64 {
    let &Conv3d { height, width, inputs, kernel: [kt, kh, kw], history, .. } = conv;
    let mut sum = 0.0;
    for (dt, dy, dx) in (0..kt).flat_map(|dt| (0..kh).flat_map(move |dy| (0..kw).map(move |dx| (dt, dy, dx)))) {
        // Counted from the first frame of history and the first row and pixel within.
        let frame = (t + dt + history).checked_sub(kt - 1);
        let row = (y + dy).checked_sub(kh / 2).filter(|&row| row < height);
        let column = (pixel + dx).checked_sub(kw / 2).filter(|&column| column < width);
        let (Some(frame), Some(row), Some(column)) = (frame, row, column) else { continue };
        let (source, frame) = if frame < history { (tail, frame) } else { (x, frame - history) };
        let at = ((frame * height + row) * width + column) * inputs;
        for (c, &value) in source[at..at + inputs].iter().enumerate() {
            let tap = (((channel * inputs + c) * kt + dt) * kh + dy) * kw + dx;
            sum += f64::from(value) * f64::from(w[tap]);
        }
    }
    sum
}

/// One number of a norm of `row`; `a` and `b` are weight and bias at its place.
fn normed(kind: NormKind, row: &[f32], column: usize, a: f32, b: f32) -> f64 {
    let (x, a, b) = (f64::from(row[column]), f64::from(a), f64::from(b));
    let mean = |f: &dyn Fn(f64) -> f64| row.iter().map(|&x| f(f64::from(x))).sum::<f64>() / row.len() as f64;
    let eps = f64::from(EPS);
    match kind {
        NormKind::LayerNorm | NormKind::LayerNormAffine => {
            let centre = mean(&|x| x);
            let value = (x - centre) / (mean(&|x| (x - centre) * (x - centre)) + eps).sqrt();
            if kind == NormKind::LayerNorm { value } else { value * a + b }
        }
        NormKind::RmsNorm => x / (mean(&|x| x * x) + eps).sqrt() * a,
        NormKind::ChannelNorm | NormKind::ChannelNormSilu => {
            let width = row.len() as f64;
            let length = (mean(&|x| x * x) * width).sqrt().max(1e-12);
            let value = x / length * width.sqrt() * a;
            if kind == NormKind::ChannelNorm { value } else { value / (1.0 + (-value).exp()) }
        }
    }
}

/// One number of an op without sums.
fn elementwise(op: &Elementwise, x: &[f32], a: &[f32], b: &[f32], row: usize, column: usize) -> f64 {
    let Elementwise { kind, rows, width } = *op;
    let at = row * width + column;
    let number = |x: &[f32], at: usize| f64::from(x[at]);
    match kind {
        ElementwiseKind::Add => number(x, at) + number(a, at),
        ElementwiseKind::Mul => number(x, at) * number(a, at),
        ElementwiseKind::GatedAdd => number(x, at) + number(a, at) * number(b, column),
        ElementwiseKind::Modulate => number(x, at) * (1.0 + number(a, column)) + number(b, column),
        ElementwiseKind::Copy => number(x, at),
        // The picture is one row of pixels: two rows of twice as many come of it.
        ElementwiseKind::Upsample => number(x, row % (2 * rows) / 2 * width + column),
        ElementwiseKind::Rope => {
            let half = ROPE_HEAD.min(width) / 2;
            let angle = row * half + column / 2 % half;
            let (cos, sin) = (number(a, angle), number(b, angle));
            let first = at - column % 2;
            let (even, odd) = (number(x, first), number(x, first + 1));
            if column.is_multiple_of(2) { even * cos - odd * sin } else { even * sin + odd * cos }
        }
    }
}

#[cfg(test)]
mod tests {
    use zoetrope::Device;

    use speeds::results::Storage;

    use super::*;

    /// Every kind of case at sizes that are no multiple of anything.
    fn cases() -> Vec<Case> {
        use ElementwiseKind as E;
        use NormKind as N;
        let mut cases = vec![
            Case::linear(7, 33, 21),
            Case::linear(1, 40, 9),
            Case::attention(3, 24, 19, 37),
            Case::conv3d([2, 9, 11], [5, 7], [3, 3, 3]),
            Case::conv3d([4, 16, 16], [32, 32], [3, 3, 3]),
            Case::conv3d([3, 5, 4], [6, 3], [1, 3, 3]),
            Case::conv3d([2, 5, 4], [6, 8], [3, 1, 1]),
        ];
        let Case::Conv3d(conv) = Case::conv3d([2, 6, 6], [4, 4], [3, 3, 3]) else { unreachable!() };
        cases.extend([0, 1].map(|history| Case::Conv3d(Conv3d { history, ..conv })));
        let norms = [N::LayerNorm, N::LayerNormAffine, N::RmsNorm, N::ChannelNorm, N::ChannelNormSilu];
        cases.extend(norms.map(|kind| Case::norm(kind, 13, 37)));
        let kinds = [E::Add, E::Mul, E::GatedAdd, E::Modulate, E::Copy, E::Upsample, E::Rope];
        cases.extend(kinds.map(|kind| Case::elementwise(kind, 9, 256)));
        cases.push(Case::elementwise(E::Rope, 5, 48));
        cases
    }

    #[test]
    fn the_engine_agrees_with_the_sums() {
        let device = Device::cpu().unwrap();
        for case in cases() {
            for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
                let mut task = Task::new(case, storage, &device, 1).unwrap();
                // The second run of an op in place is on the first one's result.
                for _ in 0..2 {
                    let expected = Expected::new(&case, &task).unwrap();
                    let off = expected.compare(&task.run().unwrap()).unwrap();
                    assert!(off.samples >= 256 && off.rel_rms < 1e-5, "{case} {storage}: {off:?}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_number_is_seen() {
        let device = Device::cpu().unwrap();
        let case = Case::linear(3, 4, 5);
        let mut task = Task::new(case, Storage::F32, &device, 1).unwrap();
        let expected = Expected::new(&case, &task).unwrap();
        let mut values = task.run().unwrap().to_vec().unwrap();
        let off =
            |values: &[f32]| expected.compare(&Tensor::from_slice(&device, [values.len()], values).unwrap()).unwrap();
        assert!(off(&values).rel_rms < 1e-6);
        assert_eq!(off(&values[..7]).max_abs, f64::INFINITY);
        values[14] += 1.0;
        assert!(off(&values).max_abs > 0.9);
        values[0] = f32::NAN;
        assert_eq!(off(&values).rel_rms, f64::INFINITY);
    }
}
