//! Norms, element-wise ops and rope.

use std::sync::atomic::AtomicBool;

use zoetrope_kernels as kernels;

use super::common::cases::{EXTREMES, ROPE, ROWS, Rope, Rows};
use super::common::compare::Limit;
use super::common::reference::{self as r, Act};
use super::{NEVER, activation, in_place, into, judge, levels};

const EPS: f32 = 1e-6;

/// A mean of the whole row in single precision, then three roundings.
const NORM: Limit = Limit { relative_l2: 2e-7, max_abs: 5e-7, terms: 0.0 };
/// One operation and its rounding.
const ONE: Limit = Limit { relative_l2: 1e-7, max_abs: 1.2e-7, terms: 0.0 };

pub fn norms(case: &Rows) {
    let (x, w, b) = (case.x(), case.scale(), case.shift());
    let (x, w, b, width, eps) = (&x[..], &w[..], &b[..], case.width, f64::from(EPS));
    let norm = |name: &str, want: Vec<f64>, limit, run: &(dyn Fn(kernels::Exec, &mut [f32]) + Sync)| {
        judge(&(name, case), &want, width, limit, |exec| into(x.len(), |out| run(exec, out)));
    };
    norm("rms_norm", r::rms_norm(x, w, eps), NORM, &|exec, out| kernels::rms_norm(exec, x, w, EPS, out));
    norm("layer_norm", r::layer_norm(x, width, None, eps), NORM, &|exec, out| {
        kernels::layer_norm(exec, x, width, None, EPS, out);
    });
    let affine = Some((w, b));
    norm("layer_norm, affine", r::layer_norm(x, width, affine, eps), NORM.of_terms(1.0), &|exec, out| {
        kernels::layer_norm(exec, x, width, affine, EPS, out);
    });
    norm("channel_norm", r::channel_norm(x, w), NORM, &|exec, out| {
        kernels::channel_norm(exec, x, w, kernels::Activation::None, out);
    });
}

pub fn elementwise(case: &Rows) {
    let (x, y, a, b) = (case.x(), case.y(), case.scale(), case.shift());
    // Products of normal numbers, to which one is added.
    let two = ONE.times(2.0).of_terms(1.0);
    let op = |name: &str, want: Vec<f64>, limit, run: &(dyn Fn(kernels::Exec, &mut [f32]) + Sync)| {
        judge(&(name, case), &want, case.width, limit, |exec| in_place(&x, |x| run(exec, x)));
    };
    op("modulate", r::modulate(&x, &a, &b), two, &|exec, x| kernels::modulate(exec, x, &a, &b));
    op("affine", r::affine(&x, &a, &b), two, &|exec, x| kernels::affine(exec, x, &a, &b));
    op("gated_add", r::gated_add(&x, &y, &a), two, &|exec, x| kernels::gated_add(exec, x, &y, &a));
    op("add", r::add(&x, &y), ONE, &|exec, x| kernels::add(exec, x, &y));
    op("mul", r::mul(&x, &y), ONE, &|exec, x| kernels::mul(exec, x, &y));
    op("clamp", r::clamp(&x, -0.75, 0.5), Limit::EXACT, &|exec, x| kernels::clamp(exec, x, -0.75, 0.5));
    for act in [Act::None, Act::Silu, Act::GeluTanh] {
        // What an activation makes of a number may be much smaller, and is no better than the number was.
        let largest = x.iter().fold(0.0f32, |most, v| v.abs().max(most));
        let limit = if act == Act::None { Limit::EXACT } else { ONE.times(3.0).of_terms(largest.into()) };
        op(&format!("{act:?}"), r::activate(&x, act), limit, &|exec, x| kernels::activate(exec, x, activation(act)));
    }
}

pub fn rope(case: &Rope) {
    let (x, (cos, sin)) = (case.x(), case.tables());
    judge(case, &case.want(), case.heads * case.head_dim, ONE.times(2.0).of_terms(1.0), |exec| {
        in_place(&x, |x| kernels::rope(exec, x, case.heads, case.head_dim, &cos, &sin))
    });
}

#[test]
fn norms_of_every_case() {
    ROWS.iter().for_each(norms);
}

#[test]
fn elementwise_of_every_case() {
    ROWS.iter().for_each(elementwise);
}

#[test]
fn rope_of_every_case() {
    ROPE.iter().for_each(rope);
}

#[test]
fn activations_of_extreme_numbers() {
    for act in [Act::Silu, Act::GeluTanh] {
        // Judged one by one, in the unit of the number itself: what an activation leaves of it never exceeds it.
        for (i, &x) in EXTREMES.iter().enumerate() {
            let want = r::activate_one(x.into(), act);
            for level in levels() {
                let exec = kernels::Exec { level, stop: &NEVER };
                let got = in_place(EXTREMES, |x| kernels::activate(exec, x, activation(act)))[i];
                let error = (f64::from(got) - want).abs();
                let most = 2e-7 * f64::from(x.abs()) + f64::from(f32::MIN_POSITIVE);
                assert!(error <= most, "{act:?}({x:e}), {level:?}: got {got:e}, want {want:e}");
            }
        }
    }
}

/// NaN must come out as NaN, or the check for numbers that are not finite would miss it; a norm spreads it over its row.
#[test]
fn nan_is_passed_on() {
    for level in levels() {
        let exec = kernels::Exec { level, stop: &NEVER };
        for (width, at) in [(3, 1), (16, 0), (37, 36), (40, 33)] {
            let ones = vec![1.0; width];
            let run = |name: &str, spreads: bool, run: &dyn Fn(&mut [f32])| {
                let mut x = [&ones[..], &ones, &ones].concat();
                x[width + at] = f32::NAN;
                run(&mut x);
                for (i, v) in x.into_iter().enumerate() {
                    let expected = if spreads { i / width == 1 } else { i == width + at };
                    assert_eq!(v.is_nan(), expected, "{name}, {level:?}, {at} of {width}: {v} at {i}");
                }
            };
            let y = vec![1.0; 3 * width];
            let norm = |name: &str, norm: &dyn Fn(&[f32], &mut [f32])| {
                run(name, true, &|x| {
                    let from = x.to_vec();
                    norm(&from, x);
                });
            };
            norm("rms_norm", &|x, out| kernels::rms_norm(exec, x, &ones, EPS, out));
            norm("layer_norm", &|x, out| kernels::layer_norm(exec, x, width, None, EPS, out));
            norm("channel_norm", &|x, out| {
                kernels::channel_norm(exec, x, &ones, kernels::Activation::None, out);
            });
            run("modulate", false, &|x| kernels::modulate(exec, x, &ones, &ones));
            run("gated_add", false, &|x| kernels::gated_add(exec, x, &y, &ones));
            run("add", false, &|x| kernels::add(exec, x, &y));
            run("mul", false, &|x| kernels::mul(exec, x, &y));
            run("affine", false, &|x| kernels::affine(exec, x, &ones, &ones));
            run("clamp", false, &|x| kernels::clamp(exec, x, -1.0, 1.0));
            run("silu", false, &|x| kernels::activate(exec, x, kernels::Activation::Silu));
            run("gelu_tanh", false, &|x| kernels::activate(exec, x, kernels::Activation::GeluTanh));
        }
    }
}

/// A task that starts after the caller's request to stop does nothing.
#[test]
fn stop_is_obeyed() {
    let stop = AtomicBool::new(true);
    for level in levels() {
        let exec = kernels::Exec { level, stop: &stop };
        // Many tasks; one that is alone runs whatever the flag says.
        let mut x = vec![2.0; 1 << 20];
        kernels::activate(exec, &mut x, kernels::Activation::Silu);
        kernels::rms_norm(exec, &vec![1.0; 1 << 20], &[3.0; 16], EPS, &mut x);
        assert!(x.iter().all(|&v| v == 2.0), "{level:?}");
    }
}
