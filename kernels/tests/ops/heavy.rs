//! Linear, convolution and attention: the ops whose blocks, packs and edges can go wrong.

use zoetrope_kernels as kernels;

use super::common::cases::{LINEAR, Linear};
use super::{NEVER, activation, into, judge, levels, stored};

pub fn linear(case: &Linear) {
    let (x, w, bias) = (case.x(), case.w(), case.bias());
    judge(case, &case.want(), case.n, case.limit(), |exec| {
        into(case.rows * case.n, |out| {
            let (w, bias, act) = (stored(&w), bias.as_deref(), activation(case.act));
            kernels::linear(exec, &x, w, case.rows, case.k, case.n, bias, act, out);
        })
    });
}

#[test]
fn linear_of_every_case() {
    LINEAR.iter().for_each(linear);
}

/// One NaN in a row of x reaches that row of the result and no other.
#[test]
fn nan_reaches_its_own_row() {
    let case = Linear { act: super::Act::None, ..LINEAR[8] };
    let (mut x, w) = (case.x(), case.w());
    x[3 * case.k + case.k - 1] = f32::NAN;
    for level in levels() {
        let exec = kernels::Exec { level, stop: &NEVER };
        let out = into(case.rows * case.n, |out| {
            kernels::linear(exec, &x, stored(&w), case.rows, case.k, case.n, None, kernels::Activation::None, out);
        });
        for (row, values) in out.chunks(case.n).enumerate() {
            assert!(values.iter().all(|v| v.is_nan() == (row == 3)), "{level:?}, row {row}: {values:?}");
        }
    }
}
