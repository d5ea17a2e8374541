//! Every op on every device against the oracle's f64 loops, on the cases of `common/cases.rs`.

mod common;
mod gpu;
mod on_device;

use common::compare::{Limit, agree};
use common::reference::{self, Act};
use on_device::{ALL, Check, F16, Outcome};
use proptest::prelude::*;
use zoetrope::ops::{self, Activation, AttentionBias, Conv3dParams, KeyValue, OutputType};
use zoetrope::weights::Weight;
use zoetrope::{Device, DeviceOptions, Error, SimdLevel, Tensor};

/// All instruction sets of this machine, then its GPUs.
fn devices() -> Vec<Device> {
    let device = |&level| Device::cpu_with(DeviceOptions { level: Some(level), ..DeviceOptions::default() });
    let levels = SimdLevel::available().iter().map(|level| device(level).expect("an available level"));
    levels.chain(gpu::devices().iter().cloned()).collect()
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec().expect("values")
}

fn tensor(device: &Device, dims: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(device, dims, values).expect("a tensor")
}

#[track_caller]
fn holds(what: &str, outcome: Result<(), String>) {
    if let Err(why) = outcome {
        panic!("{what}: {why}");
    }
}

/// All cases of some ops on all devices.
fn hold(ops: &[Check]) {
    hold_on(&devices(), ops);
}

fn hold_on(devices: &[Device], ops: &[Check]) {
    for device in devices {
        for op in ops {
            op(device, &mut |outcome: Outcome| {
                if let Err(why) = outcome.verdict {
                    panic!("{} {device:?}: {why}", outcome.case);
                }
            });
        }
    }
}

#[test]
fn linear() {
    hold(&[on_device::linear, on_device::linear_add]);
}

#[test]
fn attention() {
    hold(&[on_device::attention]);
}

#[test]
fn conv3d() {
    hold(&[on_device::conv3d, on_device::conv3d_add]);
}

#[test]
fn rows() {
    use on_device::*;
    hold(&[add, mul, rms_norm, layer_norm, channel_norm, affine, modulate, gated_add, clamp]);
}

#[test]
fn activations() {
    hold(&[on_device::activate]);
}

#[test]
fn rope() {
    hold(&[on_device::rope, on_device::rms_norm_rope]);
}

#[test]
fn f16() {
    hold_on(&gpu::at_half(), &F16.iter().map(|(_, op)| *op).collect::<Vec<_>>());
}

#[test]
fn moves() {
    use on_device::*;
    hold(&[upsample_nearest, interleave_frames, last_frames, concat, patchify, unpatchify]);
    hold(&[channels_last, channels_first, repeat_rows, embedding]);
}

#[test]
fn every_op_is_checked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let source: String = files.collect();
    let signatures =
        source.split("\npub fn ").skip(1).filter_map(|rest| rest.split_once(" {").map(|(signature, _)| signature));
    // An op that takes an output type can have a result of F16 too.
    let checked = |signature: &&str| {
        let name = signature.split('(').next().unwrap_or_default();
        let f16 = || F16.iter().any(|(op, _)| op.starts_with(name) || (*op == "norms, f16" && name.ends_with("norm")));
        ALL.iter().any(|(op, _)| *op == name) && (!signature.contains("OutputType") || f16())
    };
    let ops = signatures.filter(|signature| signature.contains("Result<Tensor>"));
    let missing: Vec<&str> = ops.filter(|signature| !checked(signature)).collect();
    assert!(missing.is_empty(), "{missing:?}");
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
        ops::linear(&x, &matrix(&[5, 7]), None, Activation::None, OutputType::F32),
        ops::linear(&x, &matrix(&[5, 8]), Some(&zeros(&[4])), Activation::None, OutputType::F32),
        ops::attention(&x, &[keys(2)], 3, 1.0, OutputType::F32),
        ops::attention(&x, &[keys(2), keys(2)], 2, 1.0, OutputType::F32),
        ops::attention(&x, &[KeyValue { length: 3, ..keys(2) }], 2, 1.0, OutputType::F32),
        ops::attention(&x, &[KeyValue { length: 0, ..keys(2) }], 2, 1.0, OutputType::F32),
        ops::attention(&x, &[], 2, 1.0, OutputType::F32),
        ops::attention(
            &x,
            &[KeyValue { bias: AttentionBias::PerKey(zeros(&[3])), ..keys(2) }],
            2,
            1.0,
            OutputType::F32,
        ),
        ops::conv3d(&x, None, &matrix(&[5, 8, 1, 3, 3]), None, plain),
        ops::conv3d(&video, None, &matrix(&[5, 7, 1, 3, 3]), None, plain),
        ops::conv3d(&video, None, &matrix(&[5, 8, 3, 3, 3]), None, plain),
        ops::conv3d(&video, None, &matrix(&[5, 8, 1, 3, 3]), None, Conv3dParams { stride: [1, 0, 1], ..plain }),
        ops::conv3d(&video, Some(&zeros(&[1, 4, 3, 8])), &matrix(&[5, 8, 2, 3, 3]), None, plain),
        ops::add(x.clone(), &zeros(&[8, 3])),
        ops::mul(x.clone(), &zeros(&[3])),
        ops::rms_norm(&x, &zeros(&[7]), 1e-6, OutputType::F32),
        ops::layer_norm(&x, Some((&zeros(&[8]), &zeros(&[9]))), 1e-6, OutputType::F32),
        ops::channel_norm(&x, &zeros(&[3]), Activation::None, OutputType::F32),
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
        ops::linear(&x, &w, None, Activation::None, OutputType::F32),
        ops::add(x.clone(), &x),
        ops::layer_norm(&x, None, 1e-6, OutputType::F32),
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
                Activation::None, OutputType::F32,
            ).unwrap();
            let want = reference::linear(&x, &w, rows, k, n, None, Act::None);
            holds("linear", agree(&read(&got), &want, Limit::F32.of_terms(1.0)));
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
            holds("linear_add", agree(&read(&got), &want, Limit::F32.of_terms(1.0)));
        }

        let twice = ops::repeat_rows(&tx, 2).unwrap();
        assert_eq!(read(&twice), [&x[..], &x].concat());

        // As frames of one pixel: what stays is the end of both.
        let video = |rows: usize, values: &[f32]| tensor(&device, &[rows, 1, 1, width], values);
        let kept = ops::last_frames(Some(&video(rows, &x)), &video(some, &y), 2).unwrap();
        let both = [&x[..], &y].concat();
        assert_eq!(read(&kept), &both[both.len().saturating_sub(2 * width)..]);
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
        let _ = ops::linear(&a, &m, None, Activation::None, OutputType::F32);
        let _ = ops::conv3d(&a, None, &m, None, params);
        let _ = ops::conv3d(&a, Some(&b), &m, None, params);
        let _ = ops::conv3d_add(b.clone(), &a, None, &m, None, params);
        let _ = ops::attention(&a, &[KeyValue::new(b.clone(), b.clone())], 1, 1.0, OutputType::F32);
        let _ = ops::attention(&a, &[KeyValue::new(a.clone(), a.clone())], 0, 1.0, OutputType::F32);
        let _ = ops::clamp(a.clone(), f32::NAN, 1.0);
        let _ = ops::unpatchify(&a, [1, 2, 2, 2], [1, 2, 0]);
        let _ = ops::add(a.clone(), &b);
        let _ = ops::rms_norm(&a, &b, 1e-6, OutputType::F32);
        let _ = ops::layer_norm(&a, Some((&b, &b)), 1e-6, OutputType::F32);
        let _ = ops::channel_norm(&a, &b, Activation::Silu, OutputType::F32);
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
