//! Linear, convolution and attention: the ops whose blocks, packs and edges can go wrong.

use zoetrope_kernels as kernels;

use super::common::cases::{ATTENTION, Attention, BiasKind, CONV3D, Conv3d, LINEAR, Linear};
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

pub fn conv3d(case: &Conv3d) {
    let (x, tail, w, bias, s) = (case.x(), case.tail(), case.w(), case.bias(), &case.sizes);
    let conv = kernels::Conv3d {
        frames: s.frames,
        height: s.height,
        width: s.width,
        in_channels: s.in_channels,
        out_channels: s.out_channels,
        kernel: s.kernel,
        stride: s.stride,
        tail_frames: s.tail_frames,
        pad_front: s.pad_front,
        pad: s.pad,
    };
    let want = case.want();
    judge(case, &want, s.out_channels, case.limit(), |exec| {
        into(want.len(), |out| {
            kernels::conv3d(exec, &conv, &x, &tail, stored(&w), bias.as_deref(), kernels::Onto::Nothing, out)
        })
    });
    if conv.has_winograd() {
        // Its transforms round as well, and differences of their numbers are taken.
        judge(case, &want, s.out_channels, case.limit().times(4.0), |exec| {
            into(want.len(), |out| {
                kernels::conv3d_winograd(
                    exec,
                    &conv,
                    &x,
                    &tail,
                    stored(&w),
                    bias.as_deref(),
                    kernels::Onto::Nothing,
                    out,
                );
            })
        });
    }
}

pub fn attention(case: &Attention) {
    let (q, k, v, bias) = (case.q(), case.k(), case.v(), case.bias_values());
    let bias = match case.bias {
        BiasKind::None => kernels::AttentionBias::None,
        BiasKind::PerKey | BiasKind::FirstKeysHidden(_) => kernels::AttentionBias::PerKey(&bias),
        BiasKind::PerHead => kernels::AttentionBias::PerHead(&bias),
    };
    let attention = kernels::Attention {
        heads: case.heads,
        head_dim: case.head_dim,
        queries: case.queries,
        keys: case.keys,
        q_stride: case.stride(),
        kv_stride: case.stride(),
        out_stride: case.stride(),
        scale: case.scale(),
    };
    let (width, stride) = (case.width(), case.stride());
    judge(case, &case.want(), width, case.limit(), |exec| {
        let out = into(case.queries * stride, |out| kernels::attention(exec, &attention, &q, &k, &v, bias, out));
        let dense = out.chunks(stride).flat_map(|row| {
            assert!(row[width..].iter().all(|v| v.is_nan()), "{case:?} wrote between the rows of its result");
            &row[..width]
        });
        dense.copied().collect()
    });
}

#[test]
fn linear_of_every_case() {
    LINEAR.iter().for_each(linear);
}

#[test]
fn conv3d_of_every_case() {
    CONV3D.iter().for_each(conv3d);
}

#[test]
fn attention_of_every_case() {
    ATTENTION.iter().for_each(attention);
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
