//! The oracle itself, on numbers small enough to be worked out by hand.

use super::common::compare::{Limit, agree, agree_by_row};
use super::common::reference::{self as r, Act, AttentionSizes, Conv3dSizes, ScoreBias};

/// 0, 1, 2, …
fn count(len: usize) -> Vec<f32> {
    (0..len).map(|i| i as f32).collect()
}

#[test]
fn linear_and_activations() {
    assert_eq!(r::linear(&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0], 1, 2, 2, Some(&[0.5, -1.0]), Act::None), [11.5, 16.0]);
    let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    close(r::activate_one(1.0, Act::Silu), 0.7310585786300049);
    close(r::activate_one(-2.0, Act::Silu), -0.2384058440442351);
    close(r::activate_one(1.0, Act::GeluTanh), 0.8411919906082768);
    close(r::activate_one(-2.0, Act::GeluTanh), -0.04540230591222494);
}

#[test]
fn attention_weighs_values() {
    let sizes =
        AttentionSizes { heads: 2, head_dim: 1, queries: 1, keys: 2, q_stride: 2, kv_stride: 3, scale: 2f64.ln() };
    // Head 0 sees scores 1 and 2 (weights 1 : 2), head 1 equal ones.
    let (k, v) = ([1.0, 0.0, 9.0, 2.0, 0.0], [3.0, 5.0, 9.0, 6.0, 7.0]);
    let got = r::attention(sizes, &[1.0, 1.0], &k, &v, ScoreBias::None);
    assert!((got[0] - 5.0).abs() < 1e-12 && (got[1] - 6.0).abs() < 1e-12, "{got:?}");
    let got = r::attention(sizes, &[1.0, 1.0], &k, &v, ScoreBias::PerKey(&[0.0, f32::NEG_INFINITY]));
    assert_eq!(got, [3.0, 5.0]);
    let got = r::attention(sizes, &[1.0, 1.0], &k, &v, ScoreBias::PerHead(&[-1e30, 0.0, 0.0, -1e30]));
    assert_eq!(got, [6.0, 5.0]);
}

#[test]
fn conv3d_sees_zeros_tail_and_frames_in_order() {
    let mut sizes = Conv3dSizes {
        frames: 2,
        height: 1,
        width: 2,
        in_channels: 1,
        out_channels: 1,
        kernel: [3, 1, 1],
        stride: [1, 1, 1],
        tail_frames: 1,
        pad_front: 1,
        pad: [0; 4],
    };
    // Frames: 0 0 | 1 2 | 3 4 | 5 6, taps 100, 10, 1.
    let got = r::conv3d(&sizes, &[3.0, 4.0, 5.0, 6.0], &[1.0, 2.0], &[100.0, 10.0, 1.0], Some(&[0.5]));
    assert_eq!(got, [13.5, 24.5, 135.5, 246.5]);
    // One row 1 2 with a zero on its left and two rows of zeros below, taps 10 1 over 100 1000.
    (sizes.frames, sizes.tail_frames, sizes.pad_front) = (1, 0, 0);
    (sizes.kernel, sizes.pad) = ([1, 2, 2], [0, 2, 1, 0]);
    let got = r::conv3d(&sizes, &[1.0, 2.0], &[], &[10.0, 1.0, 100.0, 1000.0], None);
    assert_eq!((sizes.out(), got), ([1, 2, 2], vec![1.0, 12.0, 0.0, 0.0]));
}

#[test]
fn norms() {
    assert_eq!(r::rms_norm(&[3.0, 4.0], &[1.0, 2.0], 12.5), [0.6, 1.6]);
    assert_eq!(r::layer_norm(&[1.0, 3.0], 2, Some((&[2.0, 2.0], &[0.0, 1.0])), 3.0), [-1.0, 2.0]);
    assert_eq!(r::channel_norm(&[0.0, 5.0, 0.0, 0.0], &[1.0, 0.5, 1.0, 1.0]), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(r::channel_norm(&[0.0], &[1.0]), [0.0]);
}

#[test]
fn elementwise_operands_repeat_by_row() {
    let x = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(r::modulate(&x, &[1.0, 2.0], &[0.5, 0.0]), [2.5, 6.0, 6.5, 12.0]);
    assert_eq!(r::affine(&x, &[1.0, 2.0], &[0.5, 0.0]), [1.5, 4.0, 3.5, 8.0]);
    assert_eq!(r::gated_add(&x, &x, &[1.0, 0.0]), [2.0, 2.0, 6.0, 4.0]);
    // A quarter turn of the first row's second pair; the table's one row serves both rows.
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    assert_eq!(r::rope(&x, 1, 4, &[1.0, 0.0], &[0.0, 1.0]), [1.0, 2.0, -4.0, 3.0, 5.0, 6.0, -8.0, 7.0]);
}

#[test]
fn layouts() {
    assert_eq!(r::upsample_nearest(&count(2), [1, 1, 2, 1], 2, 2), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(r::interleave_frames(&count(8), [1, 1, 2, 4]), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    // Two channels of 2 x 2 pixels, one token; then two tokens of 1 x 2 pixels with channels last.
    assert_eq!(
        r::patchify(&count(8), [2, 1, 2, 2], [1, 2, 2]),
        count(8).iter().map(|&v| v.into()).collect::<Vec<f64>>()
    );
    assert_eq!(r::unpatchify(&count(8), [2, 1, 2, 2], [1, 1, 2]), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    assert_eq!(r::patchify(&count(8), [2, 1, 2, 2], [1, 1, 2]), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    assert_eq!(r::channels_last(&count(6), 2), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(r::channels_first(&count(6), 2), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    assert_eq!(r::embedding(&count(6), 2, &[2, 0]), [4.0, 5.0, 0.0, 1.0]);
}

#[test]
fn the_comparison_refuses_what_is_wrong() {
    let want = [1.0, -2.0, 3.0];
    assert!(agree(&[1.0, -2.0, 3.0], &want, Limit::EXACT).is_ok());
    assert!(agree(&[1.0, -2.0, 3.0000002], &want, Limit::F32).is_ok());
    for got in [&[1.0, -2.0, 3.0001][..], &[1.0, f32::NAN, 3.0], &[1.0, -2.0, f32::INFINITY], &[1.0, -2.0]] {
        assert!(agree(got, &want, Limit::F32).is_err(), "{got:?}");
    }
    assert!(agree(&[1e-30], &[0.0], Limit::F32).is_err());
    assert!(agree(&[0.0], &[f64::NAN], Limit::F32).is_err());
    // A sum of terms of size 1 that cancel is as good as the terms.
    assert!(agree(&[1.1e-6], &[1e-6], Limit::F32).is_err());
    assert!(agree(&[1.1e-6], &[1e-6], Limit::F32.of_terms(1.0)).is_ok());
    assert!(agree(&[1.2e-5], &[1e-6], Limit::F32.of_terms(1.0)).is_err());
    // A row of small numbers counts as much as one of large numbers.
    assert!(agree(&[1e6, 1.1e-6], &[1e6, 1e-6], Limit::F32).is_ok());
    assert!(agree_by_row(&[1e6, 1.1e-6], &[1e6, 1e-6], 1, Limit::F32).is_err());
}
