//! Every op on every device against the oracle's f64 loops, on the cases of `common/cases.rs`.

mod common;

use common::cases::{self, BiasKind};
use common::compare::{Limit, agree, agree_by_row};
use common::data::{Storage, Weight as StoredWeight};
use common::reference::{self, Act};
use proptest::prelude::*;
use zoetrope::ops::{self, Activation, AttentionBias, Conv3dParams, KeyValue};
use zoetrope::weights::Weight;
use zoetrope::{DType, Device, DeviceOptions, Error, Result, SimdLevel, Tensor};

const EPS: f32 = 1e-6;

/// Both instruction sets, as far as this machine has them.
fn devices() -> Vec<Device> {
    let device = |&level| Device::cpu_with(DeviceOptions { level: Some(level), ..DeviceOptions::default() });
    SimdLevel::available().iter().map(|level| device(level).expect("an available level")).collect()
}

fn tensor(device: &Device, dims: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(device, dims, values).expect("a tensor")
}

fn weight(stored: &StoredWeight, dims: &[usize]) -> Weight {
    let dtype = match stored.storage() {
        Storage::F32 => DType::F32,
        Storage::F16 => DType::F16,
        Storage::BF16 => DType::BF16,
    };
    Weight::from_bytes("w", dtype, dims, stored.bytes().to_vec()).expect("a weight")
}

fn activation(act: Act) -> Activation {
    match act {
        Act::None => Activation::None,
        Act::Silu => Activation::Silu,
        Act::GeluTanh => Activation::GeluTanh,
    }
}

#[track_caller]
fn holds(what: &str, outcome: std::result::Result<(), String>) {
    if let Err(why) = outcome {
        panic!("{what}: {why}");
    }
}

#[test]
fn linear() {
    for device in devices() {
        for case in cases::LINEAR {
            let x = tensor(&device, &[case.rows, case.k], &case.x());
            let bias = case.bias().map(|bias| tensor(&device, &[case.n], &bias));
            let w = weight(&case.w(), &[case.n, case.k]);
            let got = ops::linear(&x, &w, bias.as_ref(), activation(case.act)).unwrap();
            assert_eq!(got.dims(), [case.rows, case.n]);
            holds(&format!("{case:?} {device:?}"), agree(got.data(), &case.want(), case.limit()));
        }
    }
}

/// Rows without what stands between them.
fn dense(values: &[f32], stride: usize, width: usize) -> Vec<f32> {
    values.chunks(stride).flat_map(|row| &row[..width]).copied().collect()
}

#[test]
fn attention() {
    for device in devices() {
        for case in cases::ATTENTION {
            let (width, stride) = (case.width(), case.stride());
            let rows = |values: Vec<f32>, rows| tensor(&device, &[rows, width], &dense(&values, stride, width));
            let key = rows(case.k(), case.keys + case.spare);
            let value = rows(case.v(), case.keys + case.spare);
            let values = case.bias_values();
            let bias = match case.bias {
                BiasKind::None => AttentionBias::None,
                BiasKind::PerKey | BiasKind::FirstKeysHidden(_) => {
                    AttentionBias::PerKey(tensor(&device, &[case.keys], &values))
                }
                BiasKind::PerHead => {
                    AttentionBias::PerHead(tensor(&device, &[case.heads, case.queries, case.keys], &values))
                }
            };
            let branch = KeyValue { key, value, bias, length: case.keys };
            let q = rows(case.q(), case.queries);
            let got = ops::attention(&q, std::slice::from_ref(&branch), case.heads, case.scale()).unwrap();
            holds(&format!("{case:?} {device:?}"), agree(got.data(), &case.want(), case.limit()));
            // Two branches are each as one alone.
            let twice = ops::repeat_rows(&q, 2).unwrap();
            let both = ops::attention(&twice, &[branch.clone(), branch], case.heads, case.scale()).unwrap();
            assert_eq!(both.narrow(case.queries..2 * case.queries).unwrap().data(), got.data(), "{case:?}");
        }
    }
}

#[test]
fn conv3d() {
    for device in devices() {
        for case in cases::CONV3D {
            let s = &case.sizes;
            let frame = [s.height, s.width, s.in_channels];
            let video = |frames, values: &[f32]| tensor(&device, &[&[frames], &frame[..]].concat(), values);
            let x = video(s.frames, &case.x());
            let tail = (s.tail_frames > 0).then(|| video(s.tail_frames, &case.tail()));
            let [kt, kh, kw] = s.kernel;
            let w = weight(&case.w(), &[s.out_channels, s.in_channels, kt, kh, kw]);
            let bias = case.bias().map(|bias| tensor(&device, &[s.out_channels], &bias));
            let params = Conv3dParams { stride: s.stride, pad_front: s.pad_front, pad: s.pad };
            let got = ops::conv3d(&x, tail.as_ref(), &w, bias.as_ref(), params).unwrap();
            holds(&format!("{case:?} {device:?}"), agree(got.data(), &case.want(), case.limit()));
            // As a residual branch: its own result is what it is added to.
            let sum = ops::conv3d_add(got.clone(), &x, tail.as_ref(), &w, bias.as_ref(), params).unwrap();
            let want: Vec<f64> = case.want().iter().zip(got.data()).map(|(y, &x)| y + f64::from(x)).collect();
            holds(&format!("added, {case:?} {device:?}"), agree(sum.data(), &want, case.limit()));
        }
    }
}

#[test]
fn rows() {
    for device in devices() {
        for case in cases::ROWS {
            let (x, y, scale, shift) = (case.x(), case.y(), case.scale(), case.shift());
            let matrix = |values: &[f32]| tensor(&device, &[case.rows, case.width], values);
            let vector = |values: &[f32]| tensor(&device, &[case.width], values);
            let (tx, ty, ts, tb) = (matrix(&x), matrix(&y), vector(&scale), vector(&shift));
            let affine = Some((&ts, &tb));
            // The oracle takes the eps that the op gets, which is not 1e-6 to the last digit.
            let eps = f64::from(EPS);
            let normed = reference::channel_norm(&x, &scale);
            let silu = normed.iter().map(|&x| reference::activate_one(x, Act::Silu)).collect();
            let outcomes: [(&str, Result<Tensor>, Vec<f64>); 10] = [
                ("add", ops::add(tx.clone(), &ty), reference::add(&x, &y)),
                ("mul", ops::mul(tx.clone(), &ty), reference::mul(&x, &y)),
                ("rms_norm", ops::rms_norm(&tx, &ts, EPS), reference::rms_norm(&x, &scale, eps)),
                (
                    "layer_norm",
                    ops::layer_norm(&tx, affine, EPS),
                    reference::layer_norm(&x, case.width, Some((&scale, &shift)), eps),
                ),
                ("channel_norm", ops::channel_norm(&tx, &ts, Activation::None), normed),
                ("channel_norm, silu", ops::channel_norm(&tx, &ts, Activation::Silu), silu),
                ("affine", ops::affine(tx.clone(), &ts, &tb), reference::affine(&x, &scale, &shift)),
                ("modulate", ops::modulate(tx.clone(), &ts, &tb), reference::modulate(&x, &scale, &shift)),
                ("gated_add", ops::gated_add(tx.clone(), &ty, &ts), reference::gated_add(&x, &y, &scale)),
                ("clamp", ops::clamp(tx.clone(), -0.5, 0.25), reference::clamp(&x, -0.5, 0.25)),
            ];
            for (op, got, want) in outcomes {
                let what = format!("{op} {case:?} {device:?}");
                holds(&what, agree_by_row(got.unwrap().data(), &want, case.width, Limit::F32.of_terms(1.0)));
            }
            assert_eq!(tx.data(), x, "a shared input is left alone");
        }
    }
}

#[test]
fn activations() {
    for device in devices() {
        for act in [Act::Silu, Act::GeluTanh] {
            let x = tensor(&device, &[cases::EXTREMES.len()], cases::EXTREMES);
            let got = ops::activate(x, activation(act)).unwrap();
            let want = reference::activate(cases::EXTREMES, act);
            holds(&format!("{act:?} {device:?}"), agree_by_row(got.data(), &want, 1, Limit::F32.of_terms(0.1)));
        }
    }
}

#[test]
fn rope() {
    for device in devices() {
        for case in cases::ROPE {
            let (cos, sin) = case.tables();
            let table = |values: &[f32]| tensor(&device, &[case.table_rows, case.head_dim / 2], values);
            let x = tensor(&device, &[case.rows, case.heads * case.head_dim], &case.x());
            let got = ops::rope(x, case.heads, &table(&cos), &table(&sin)).unwrap();
            holds(&format!("{case:?} {device:?}"), agree(got.data(), &case.want(), Limit::F32));
        }
    }
}

#[test]
fn moves() {
    for device in devices() {
        for case in cases::UPSAMPLE {
            let got = ops::upsample_nearest(&tensor(&device, &case.shape, &case.x()), [case.fh, case.fw]).unwrap();
            holds(&format!("{case:?}"), agree(got.data(), &case.want(), Limit::EXACT));
        }
        for case in cases::INTERLEAVE {
            let got = ops::interleave_frames(&tensor(&device, &case.shape, &case.x())).unwrap();
            holds(&format!("{case:?}"), agree(got.data(), &case.want(), Limit::EXACT));
        }
        for case in cases::PATCHES {
            let x = tensor(&device, &case.shape, &case.x());
            let got = ops::patchify(&x, case.patch).unwrap();
            holds(&format!("patchify {case:?}"), agree(got.data(), &case.want_patchify(), Limit::EXACT));
            let rows = x.reshape(got.shape()).unwrap();
            let got = ops::unpatchify(&rows, case.shape, case.patch).unwrap();
            holds(&format!("unpatchify {case:?}"), agree(got.data(), &case.want_unpatchify(), Limit::EXACT));
        }
        for case in cases::CHANNELS {
            let (channels, pixels) = (case.channels, case.pixels);
            let last = ops::channels_last(&tensor(&device, &[channels, pixels], &case.x())).unwrap();
            holds(
                &format!("{case:?}"),
                agree(last.data(), &reference::channels_last(&case.x(), channels), Limit::EXACT),
            );
            let first = ops::channels_first(&last).unwrap();
            assert_eq!((first.dims(), first.data()), (&[channels, pixels][..], &case.x()[..]));
        }
        for case in cases::EMBEDDING {
            let table = weight(&case.table(), &[case.vocab, case.width]);
            let got = ops::embedding(&device, &table, &case.ids()).unwrap();
            let want = reference::embedding(&case.table().values(), case.width, &case.ids());
            holds(&format!("{case:?}"), agree(got.data(), &want, Limit::EXACT));
        }
    }
}

#[test]
fn last_frames_are_those_that_a_convolution_needs() {
    let device = Device::cpu().unwrap();
    let video = |values: &[f32]| tensor(&device, &[values.len(), 1, 1, 1], values);
    let (before, x) = (video(&[1.0, 2.0]), video(&[3.0]));
    assert_eq!(ops::last_frames(Some(&before), &x, 2).unwrap().data(), [2.0, 3.0]);
    assert_eq!(ops::last_frames(None, &x, 2).unwrap().data(), [3.0]);
    assert_eq!(ops::last_frames(Some(&before), &video(&[3.0, 4.0, 5.0]), 2).unwrap().data(), [4.0, 5.0]);
}

#[test]
fn a_misfit_is_an_error_that_names_op_and_shapes() {
    let device = Device::cpu().unwrap();
    let zeros = |dims: &[usize]| Tensor::zeros(&device, dims).unwrap();
    let matrix = |dims: &[usize]| Weight::from_f32("w", dims, vec![0.0; dims.iter().product()]);
    let x = zeros(&[3, 8]);
    let video = zeros(&[1, 4, 4, 8]);
    let plain = Conv3dParams { stride: [1; 3], pad_front: 0, pad: [0; 4] };
    let keys = |rows| KeyValue::new(zeros(&[rows, 8]), zeros(&[rows, 8]));
    let misfits = [
        ops::linear(&x, &matrix(&[5, 7]), None, Activation::None),
        ops::linear(&x, &matrix(&[5, 8]), Some(&zeros(&[4])), Activation::None),
        ops::attention(&x, &[keys(2)], 3, 1.0),
        ops::attention(&x, &[keys(2), keys(2)], 2, 1.0),
        ops::attention(&x, &[KeyValue { length: 3, ..keys(2) }], 2, 1.0),
        ops::attention(&x, &[KeyValue { length: 0, ..keys(2) }], 2, 1.0),
        ops::attention(&x, &[], 2, 1.0),
        ops::attention(&x, &[KeyValue { bias: AttentionBias::PerKey(zeros(&[3])), ..keys(2) }], 2, 1.0),
        ops::conv3d(&x, None, &matrix(&[5, 8, 1, 3, 3]), None, plain),
        ops::conv3d(&video, None, &matrix(&[5, 7, 1, 3, 3]), None, plain),
        ops::conv3d(&video, None, &matrix(&[5, 8, 3, 3, 3]), None, plain),
        ops::conv3d(&video, None, &matrix(&[5, 8, 1, 3, 3]), None, Conv3dParams { stride: [1, 0, 1], ..plain }),
        ops::conv3d(&video, Some(&zeros(&[1, 4, 3, 8])), &matrix(&[5, 8, 2, 3, 3]), None, plain),
        ops::add(x.clone(), &zeros(&[8, 3])),
        ops::mul(x.clone(), &zeros(&[3])),
        ops::rms_norm(&x, &zeros(&[7]), 1e-6),
        ops::layer_norm(&x, Some((&zeros(&[8]), &zeros(&[9]))), 1e-6),
        ops::channel_norm(&x, &zeros(&[3]), Activation::None),
        ops::modulate(x.clone(), &zeros(&[3]), &zeros(&[8])),
        ops::gated_add(x.clone(), &zeros(&[2, 8]), &zeros(&[8])),
        ops::linear_add(x.clone(), 2, &zeros(&[2, 8]), &matrix(&[8, 8]), None, None),
        ops::linear_add(x.clone(), 0, &zeros(&[2, 8]), &matrix(&[5, 8]), None, None),
        ops::linear_add(x.clone(), 0, &zeros(&[2, 8]), &matrix(&[8, 8]), None, Some(&zeros(&[7]))),
        ops::linear_add(x.clone(), usize::MAX, &zeros(&[2, 8]), &matrix(&[8, 8]), None, None),
        ops::affine(x.clone(), &zeros(&[8]), &zeros(&[1])),
        ops::rope(x.clone(), 2, &zeros(&[2, 2]), &zeros(&[2, 2])),
        ops::conv3d(&video, None, &matrix(&[5, 8, 1, 3, 3]), None, Conv3dParams { pad_front: usize::MAX, ..plain }),
        ops::rope(x.clone(), usize::MAX, &zeros(&[3, 2]), &zeros(&[3, 2])),
        ops::unpatchify(&x, [usize::MAX, 2, 2, 2], [2, 2, 2]),
        ops::upsample_nearest(&video, [0, 2]),
        ops::interleave_frames(&zeros(&[1, 2, 2, 3])),
        ops::last_frames(Some(&video), &zeros(&[1, 4, 4, 7]), 2),
        ops::patchify(&video, [1, 3, 2]),
        ops::unpatchify(&x, [1, 1, 4, 4], [1, 2, 2]),
        ops::embedding(&device, &matrix(&[4, 3]), &[0, 4]),
    ];
    for (i, misfit) in misfits.into_iter().enumerate() {
        let error = misfit.expect_err(&format!("misfit {i}"));
        assert!(matches!(error, Error::Shape { .. }), "{i}: {error}");
        assert!(error.to_string().contains('['), "{i}: {error}");
    }
}

#[test]
fn a_cancelled_device_says_so() {
    let device = Device::cpu().unwrap();
    let x = Tensor::zeros(&device, [64, 64]).unwrap();
    device.cancel().cancel();
    let w = Weight::from_f32("w", [64, 64], vec![0.0; 64 * 64]);
    let video = Tensor::zeros(&device, [1, 2, 4, 4]).unwrap();
    for result in [
        ops::linear(&x, &w, None, Activation::None),
        ops::add(x.clone(), &x),
        ops::layer_norm(&x, None, 1e-6),
        ops::clamp(x.clone(), 0.0, 1.0),
        ops::unpatchify(&x, [4, 1, 32, 32], [1, 4, 4]),
        ops::channels_last(&video),
        ops::last_frames(None, &video, 1),
    ] {
        assert!(matches!(result, Err(Error::Cancelled)));
    }
}

#[test]
fn a_result_past_all_memory_is_an_error() {
    let device = Device::cpu().unwrap();
    let video = Tensor::zeros(&device, [1, 2, 2, 2]).unwrap();
    let huge =
        [ops::upsample_nearest(&video, [usize::MAX, 1]), ops::repeat_rows(&video.reshape([4, 2]).unwrap(), usize::MAX)];
    assert!(huge.iter().all(|result| matches!(result, Err(Error::OutOfMemory { .. }))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_of_any_size(rows in 0usize..40, k in 0usize..70, n in 0usize..50) {
        for device in devices() {
            let x = common::data::normal(1, rows * k);
            let w = common::data::normal(2, n * k);
            let got = ops::linear(
                &tensor(&device, &[rows, k], &x),
                &Weight::from_f32("w", [n, k], w.clone()),
                None,
                Activation::None,
            ).unwrap();
            let want = reference::linear(&x, &w, rows, k, n, None, Act::None);
            holds("linear", agree(got.data(), &want, Limit::F32.of_terms(1.0)));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_of_any_size(rows in 1usize..9, width in 1usize..40, first in 0usize..9, some in 0usize..9) {
        let (first, some) = (first.min(rows), some.min(rows - first.min(rows)));
        let device = Device::cpu().unwrap();
        let (x, y, gate) = (common::data::normal(1, rows * width), common::data::normal(2, some * width),
                            common::data::normal(3, width));
        let (w, bias) = (common::data::normal(4, width * width), common::data::normal(5, width));
        let matrix = |rows: usize, values: &[f32]| tensor(&device, &[rows, width], values);
        let (tx, ty) = (matrix(rows, &x), matrix(some, &y));
        let vector = |values: &[f32]| tensor(&device, &[width], values);

        let layer = Weight::from_f32("w", [width, width], w.clone());
        let (tb, tg) = (vector(&bias), vector(&gate));
        for gated in [true, false] {
            let gate = if gated { gate.clone() } else { vec![1.0; width] };
            let got = ops::linear_add(tx.clone(), first, &ty, &layer, Some(&tb), gated.then_some(&tg)).unwrap();
            let mut want: Vec<f64> = x.iter().map(|&x| x.into()).collect();
            let added = reference::linear(&y, &w, some, width, width, Some(&bias), Act::None);
            for (i, added) in added.into_iter().enumerate() {
                want[first * width + i] += added * f64::from(gate[i % width]);
            }
            holds("linear_add", agree(got.data(), &want, Limit::F32.of_terms(1.0)));
        }

        let twice = ops::repeat_rows(&tx, 2).unwrap();
        assert_eq!(twice.data(), [&x[..], &x].concat());

        // As frames of one pixel: what stays is the end of both.
        let video = |rows: usize, values: &[f32]| tensor(&device, &[rows, 1, 1, width], values);
        let kept = ops::last_frames(Some(&video(rows, &x)), &video(some, &y), 2).unwrap();
        let both = [&x[..], &y].concat();
        assert_eq!(kept.data(), &both[both.len().saturating_sub(2 * width)..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn shapes_that_do_not_fit_never_panic(
        x in prop::collection::vec(0usize..4, 0..=5),
        w in prop::collection::vec(0usize..4, 0..=5),
    ) {
        let device = Device::cpu().unwrap();
        let a = Tensor::zeros(&device, &x[..]).unwrap();
        let b = Tensor::zeros(&device, &w[..]).unwrap();
        let m = Weight::from_f32("w", &w[..], vec![0.0; w.iter().product()]);
        let params = Conv3dParams { stride: [1, 2, 1], pad_front: 1, pad: [1, 0, 0, 1] };
        let _ = ops::linear(&a, &m, None, Activation::None);
        let _ = ops::conv3d(&a, None, &m, None, params);
        let _ = ops::conv3d(&a, Some(&b), &m, None, params);
        let _ = ops::conv3d_add(b.clone(), &a, None, &m, None, params);
        let _ = ops::attention(&a, &[KeyValue::new(b.clone(), b.clone())], 1, 1.0);
        let _ = ops::attention(&a, &[KeyValue::new(a.clone(), a.clone())], 0, 1.0);
        let _ = ops::clamp(a.clone(), f32::NAN, 1.0);
        let _ = ops::unpatchify(&a, [1, 2, 2, 2], [1, 2, 0]);
        let _ = ops::add(a.clone(), &b);
        let _ = ops::rms_norm(&a, &b, 1e-6);
        let _ = ops::layer_norm(&a, Some((&b, &b)), 1e-6);
        let _ = ops::channel_norm(&a, &b, Activation::Silu);
        let _ = ops::modulate(a.clone(), &b, &b);
        let _ = ops::gated_add(a.clone(), &b, &b);
        let _ = ops::linear_add(a.clone(), x.len(), &b, &m, None, None);
        let _ = ops::linear_add(a.clone(), 0, &a, &m, Some(&b), Some(&b));
        let _ = ops::rope(a.clone(), 1, &b, &b);
        let _ = ops::patchify(&a, [1, 2, 2]);
        let _ = ops::upsample_nearest(&a, [2, 2]);
        let _ = ops::interleave_frames(&a);
        let _ = ops::last_frames(Some(&a), &b, 2);
        let _ = ops::channels_last(&a);
        let _ = ops::channels_first(&a);
        let _ = ops::repeat_rows(&a, 2);
        let _ = ops::embedding(&device, &m, &[0, 3]);
    }
}
