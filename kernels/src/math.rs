//! Elementary functions on vectors.

use crate::simd::Simd;

/// `e^x` to about one unit in the last place; 0 where it would be below the normal range, infinite from 88.38 (half a
/// power of two before the range ends), and NaN of NaN.
///
/// `x = n ln 2 + r` with a whole `n` and `|r| <= ln 2 / 2`, so `e^x = 2^n e^r`; the polynomial for `e^r` is our own
/// weighted least-squares fit of degree six (relative error 4e-9).
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // In this order of arguments a NaN passes.
    let x = s.max(s.splat(-104.0), s.min(s.splat(89.0), x));
    let n = s.round(x * s.splat(std::f32::consts::LOG2_E));
    // ln 2 in two parts, the first short enough for its product with n to be exact.
    let r = s.neg_fma(n, s.splat(0.693_359_4), x);
    let r = s.neg_fma(n, s.splat(-2.121_944_4e-4), r);
    let mut p = s.splat(1.381_453_9e-3);
    for c in [8.368_745e-3, 4.166_839e-2, 1.666_652_1e-1, 4.999_999_4e-1] {
        p = s.fma(p, r, s.splat(c));
    }
    s.scale(s.fma(r * r, p, r) + s.splat(1.0), n)
}

/// `e^d` of numbers up to 0, to three units in the last place; 0 where it would be below the normal range, and NaN of
/// NaN.
///
/// `2^y = 2^n 2^r` with a whole `n` and `|r| <= 1/2`; the polynomial for `2^r` is our own minimax fit of degree five with
/// `2^0 = 1` kept (relative error 1.05e-7).
#[inline(always)]
pub(crate) fn exp_of_less<S: Simd>(s: S, d: S::V) -> S::V {
    // In this order of arguments a NaN passes; minus infinity does not, whose rest would not be a number.
    let y = s.max(s.splat(-150.0), d * s.splat(std::f32::consts::LOG2_E));
    let n = s.round(y);
    let r = y - n;
    let mut p = s.splat(1.330_057_2e-3);
    for c in [9.669_687e-3, 5.550_558_5e-2, 0.240_222_83, std::f32::consts::LN_2, 1.0] {
        p = s.fma(p, r, s.splat(c));
    }
    s.scale(p, n)
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    x / (s.splat(1.0) + exp(s, s.zero() - x))
}

/// GELU in its tanh form, `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
///
/// With `(1 + tanh u) / 2 = 1 / (1 + e^-2u)` there is no cancellation where `x` is negative; what remains there is
/// the rounding of `2u`, of which the exponential makes about `4u` units in the last place.
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(s: S, x: S::V) -> S::V {
    // 2 sqrt(2/pi)
    const SCALE: f32 = 1.595_769;
    let cubic = s.fma(x * x, s.splat(-SCALE * 0.044_715), s.splat(-SCALE));
    x / (s.splat(1.0) + exp(s, x * cubic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::arch::dispatch;
    use crate::simd::{Kernel, LANES};

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        ExpOfLess,
        Silu,
        Gelu,
    }

    struct Apply(Function, [f32; LANES]);

    impl Kernel for Apply {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; LANES] {
            let x = s.load(&self.1);
            s.to_array(match self.0 {
                Function::Exp => exp(s, x),
                Function::ExpOfLess => exp_of_less(s, x),
                Function::Silu => silu(s, x),
                Function::Gelu => gelu_tanh(s, x),
            })
        }
    }

    /// The greatest distance to `want` over a sweep of arguments, in units in the last place of the exact result.
    fn worst(level: Level, f: Function, range: [f32; 2], want: impl Fn(f64) -> f64) -> f64 {
        let steps = 40_000;
        let mut worst = 0.0f64;
        for i in (0..steps).step_by(LANES) {
            let x = std::array::from_fn(|j| range[0] + (range[1] - range[0]) * ((i + j) as f32 / steps as f32));
            for (x, y) in x.into_iter().zip(dispatch(level, Apply(f, x))) {
                let exact = want(f64::from(x));
                let near = (exact as f32).abs().max(f32::MIN_POSITIVE);
                worst = worst.max((f64::from(y) - exact).abs() / f64::from(near.next_up() - near));
            }
        }
        worst
    }

    fn exact_gelu(x: f64) -> f64 {
        x / (1.0 + (-2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).exp())
    }

    #[test]
    fn functions_are_close_to_the_exact_ones() {
        for &level in Level::available() {
            for (f, range, limit, want) in [
                (Function::Exp, [-87.3f32, 88.37], 1.5, f64::exp as fn(f64) -> f64),
                (Function::Exp, [-1.0, 1.0], 1.5, f64::exp),
                (Function::ExpOfLess, [-1.0, 0.0], 3.0, f64::exp),
                // The rounding of the argument's multiple counts as many times.
                (Function::ExpOfLess, [-87.0, -1.0], 100.0, f64::exp),
                (Function::Silu, [-20.0, 60.0], 3.0, |x| x / (1.0 + (-x).exp())),
                (Function::Gelu, [-1.0, 30.0], 4.0, exact_gelu),
                (Function::Gelu, [-3.0, -1.0], 16.0, exact_gelu),
                // From here on the result is below 1e-2 and heads for 1e-8.
                (Function::Gelu, [-6.0, -3.0], 64.0, exact_gelu),
            ] {
                let worst = worst(level, f, range, want);
                assert!(worst <= limit, "{level}: {worst} ulp over {range:?}");
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        let inf = f32::INFINITY;
        let twice = |x: [f32; 8]| std::array::from_fn(|i| x[i % 8]);
        for &level in Level::available() {
            let x = twice([-inf, -1e30, -104.0, 0.0, -0.0, 89.0, inf, f32::NAN]);
            let y = dispatch(level, Apply(Function::Exp, x));
            assert_eq!(y[..7], [0.0, 0.0, 0.0, 1.0, 1.0, inf, inf]);
            assert!(y[7].is_nan());
            let x = twice([-inf, f32::MIN, -1e5, -110.0, 0.0, -0.0, -105.0, f32::NAN]);
            let y = dispatch(level, Apply(Function::ExpOfLess, x));
            assert_eq!(y[..7], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
            assert!(y[7].is_nan());
            let x = twice([-1e30, -200.0, 0.0, 100.0, 1e20, 3e38, inf, f32::NAN]);
            for f in [Function::Silu, Function::Gelu] {
                let y = dispatch(level, Apply(f, x));
                assert_eq!(y[..7], [0.0, 0.0, 0.0, 100.0, 1e20, 3e38, inf]);
                assert!(y[7].is_nan());
            }
        }
    }
}
