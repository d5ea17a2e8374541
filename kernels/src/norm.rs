//! Normalisations of rows. Statistics are sums of 64 lanes in f32; what follows them, once a row, is in f64.

use crate::activation::{GeluTanh, Silu};
use crate::math;
use crate::simd::{Kernel, LANES, Simd};
use crate::tasks::{pieces, rows_of_a_task};
use crate::{Activation, Exec};

/// `x / sqrt(mean(x^2) + eps) * weight` for each row of `weight.len()` numbers (Zhang and Sennrich, 2019).
pub fn rms_norm(exec: Exec, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let factor = RootMeanSquare(eps);
    rows(exec, x, weight.len(), out, |x, out| exec.run(Scale { x, weight, factor, then: Identity, out }));
}

/// `act(x / max(|x|_2, 1e-12) * sqrt(C) * gamma)` for each row of C = `gamma.len()` numbers: the norm of Wan's VAE.
pub fn channel_norm(exec: Exec, x: &[f32], gamma: &[f32], act: Activation, out: &mut [f32]) {
    let (weight, factor) = (gamma, Length);
    rows(exec, x, gamma.len(), out, |x, out| match act {
        Activation::None => exec.run(Scale { x, weight, factor, then: Identity, out }),
        Activation::Silu => exec.run(Scale { x, weight, factor, then: Silu, out }),
        Activation::GeluTanh => exec.run(Scale { x, weight, factor, then: GeluTanh, out }),
    });
}

/// `(x - mean) / sqrt(variance + eps)` for each row of `width` numbers, biased variance, then `* weight + bias` of `affine`
/// (Ba, Kiros and Hinton, 2016).
pub fn layer_norm(exec: Exec, x: &[f32], width: usize, affine: Option<(&[f32], &[f32])>, eps: f32, out: &mut [f32]) {
    if let Some((weight, bias)) = affine {
        assert_eq!((weight.len(), bias.len()), (width, width), "a weight and a bias for each of a row");
    }
    rows(exec, x, width, out, |x, out| match affine {
        Some((weight, bias)) => exec.run(LayerNorm { x, width, eps, then: Affine { weight, bias }, out }),
        None => exec.run(LayerNorm { x, width, eps, then: Identity, out }),
    });
}

fn rows(exec: Exec, x: &[f32], width: usize, out: &mut [f32], task: impl Fn(&[f32], &mut [f32]) + Sync) {
    assert!(width > 0 && x.len().is_multiple_of(width), "{} numbers in rows of {width}", x.len());
    assert_eq!(x.len(), out.len(), "a normed number for each number");
    pieces(exec, out, rows_of_a_task(width), |at, out| task(&x[at..at + out.len()], out));
}

/// Rows whose factors are worked out together: each is a long chain of operations that wait for one another.
const TOGETHER: usize = 4;

/// What a row is multiplied by, from the sum of its squares.
trait Factor: Copy {
    fn of(self, squares: f64, width: usize) -> f64;
}

#[derive(Clone, Copy)]
struct RootMeanSquare(f32);

impl Factor for RootMeanSquare {
    #[inline(always)]
    fn of(self, squares: f64, width: usize) -> f64 {
        1.0 / (squares / width as f64 + f64::from(self.0)).sqrt()
    }
}

#[derive(Clone, Copy)]
struct Length;

impl Factor for Length {
    #[inline(always)]
    fn of(self, squares: f64, width: usize) -> f64 {
        let length = squares.sqrt();
        // Not `max`, which would make a number of a NaN.
        let length = if length < 1e-12 { 1e-12 } else { length };
        (width as f64).sqrt() / length
    }
}

/// What is done with normalised numbers; `at` is the first one's place in its row.
trait Then: Copy {
    fn apply<S: Simd>(self, s: S, x: S::V, at: usize) -> S::V;
}

#[derive(Clone, Copy)]
struct Identity;

impl Then for Identity {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, x: S::V, _: usize) -> S::V {
        x
    }
}

impl Then for Silu {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, _: usize) -> S::V {
        math::silu(s, x)
    }
}

impl Then for GeluTanh {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, _: usize) -> S::V {
        math::gelu_tanh(s, x)
    }
}

#[derive(Clone, Copy)]
struct Affine<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
}

impl Then for Affine<'_> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, at: usize) -> S::V {
        s.fma(x, load_at(s, self.weight, at), load_at(s, self.bias, at))
    }
}

/// Sixteen numbers from `at`, or those that there are and zeros.
#[inline(always)]
fn load_at<S: Simd>(s: S, row: &[f32], at: usize) -> S::V {
    match row[at..].first_chunk() {
        Some(vector) => s.load(vector),
        None => s.load_partial(&row[at..]),
    }
}

/// Rows times a factor of their own, times one weight.
struct Scale<'a, F, T> {
    x: &'a [f32],
    weight: &'a [f32],
    factor: F,
    then: T,
    out: &'a mut [f32],
}

impl<F: Factor, T: Then> Kernel for Scale<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, weight, factor, then, out } = self;
        let width = weight.len();
        for (rows, outs) in x.chunks(TOGETHER * width).zip(out.chunks_mut(TOGETHER * width)) {
            let mut factors = [0.0; TOGETHER];
            for (to, row) in factors.iter_mut().zip(rows.chunks_exact(width)) {
                let [_, squares] = sums(s, row, 0.0);
                *to = factor.of(squares, width) as f32;
            }
            for ((row, out), factor) in rows.chunks_exact(width).zip(outs.chunks_exact_mut(width)).zip(factors) {
                let factor = s.splat(factor);
                let ((vectors, rest), (out, out_rest)) = (row.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
                let start_of_rest = LANES * vectors.len();
                for (i, (vector, out)) in vectors.iter().zip(out).enumerate() {
                    let scaled = s.load(vector) * factor * load_at(s, weight, LANES * i);
                    s.store(then.apply(s, scaled, LANES * i), out);
                }
                if !rest.is_empty() {
                    let scaled = s.load_partial(rest) * factor * load_at(s, weight, start_of_rest);
                    s.store_partial(then.apply(s, scaled, start_of_rest), out_rest);
                }
            }
        }
    }
}

struct LayerNorm<'a, T> {
    x: &'a [f32],
    width: usize,
    eps: f32,
    then: T,
    out: &'a mut [f32],
}

impl<T: Then> Kernel for LayerNorm<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, width, eps, then, out } = self;
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            // The first mean may be off by its rounding. Distances to it are all but exact, and their mean is what it
            // is off by: so the result is good to the last digits of the distances however far from zero the row is.
            let near = (sums(s, row, 0.0)[0] / width as f64) as f32;
            let [distances, squares] = sums(s, row, near).map(|sum| sum / width as f64);
            let deviation = (squares - distances * distances + f64::from(eps)).sqrt();
            let (near, off) = (s.splat(near), s.splat(distances as f32));
            let factor = s.splat((1.0 / deviation) as f32);
            let ((vectors, rest), (out, out_rest)) = (row.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
            let start_of_rest = LANES * vectors.len();
            for (i, (vector, out)) in vectors.iter().zip(out).enumerate() {
                let normed = (s.load(vector) - near - off) * factor;
                s.store(then.apply(s, normed, LANES * i), out);
            }
            if !rest.is_empty() {
                let normed = (s.load_partial(rest) - near - off) * factor;
                s.store_partial(then.apply(s, normed, start_of_rest), out_rest);
            }
        }
    }
}

/// The sums of `x - middle` and of its square.
#[inline(always)]
fn sums<S: Simd>(s: S, row: &[f32], middle: f32) -> [f64; 2] {
    const STEP: usize = 4 * LANES;
    let m = s.splat(middle);
    // Four sums each hide the latency of an addition, and shorten the chain of roundings.
    let mut sum = [s.zero(); 4];
    let mut squares = [s.zero(); 4];
    let (steps, rest) = row.as_chunks::<STEP>();
    for step in steps {
        for (i, vector) in step.as_chunks::<LANES>().0.iter().enumerate() {
            let v = s.load(vector) - m;
            sum[i] = sum[i] + v;
            squares[i] = s.fma(v, v, squares[i]);
        }
    }
    let (vectors, rest) = rest.as_chunks::<LANES>();
    for (i, vector) in vectors.iter().enumerate() {
        let v = s.load(vector) - m;
        sum[i] = sum[i] + v;
        squares[i] = s.fma(v, v, squares[i]);
    }
    if !rest.is_empty() {
        // Lanes beyond the row hold the middle, at no distance from it.
        let mut lanes = [middle; LANES];
        lanes[..rest.len()].copy_from_slice(rest);
        let v = s.load(&lanes) - m;
        sum[3] = sum[3] + v;
        squares[3] = s.fma(v, v, squares[3]);
    }
    [add_up(s, sum), add_up(s, squares)]
}

#[inline(always)]
fn add_up<S: Simd>(s: S, [a, b, c, d]: [S::V; 4]) -> f64 {
    s.sum((a + b) + (c + d)).into()
}
