//! Ops on operands of F16 and with results of F16, on a device at half precision: what is read is exact, so that a result
//! of F32 is within the usual limit of the oracle, and one of F16 within its own rounding too.

use zoetrope::ops::{self, Activation, AttentionBias, Conv3dParams, KeyValue, OutputType};
use zoetrope::{DType, Device, Result, Tensor};

use super::super::common::cases::{self, BiasKind};
use super::super::common::compare::Limit;
use super::super::common::data::{self, Storage, Weight};
use super::super::common::reference::{self, Act, ScoreBias};
use super::{Check, EPS, ROUNDED, Tell, activation, dense, judge, uses_cooperative, weight};

/// All of them by their names.
pub const F16: &[(&str, Check)] = &[
    ("linear, f16", linear),
    ("linear_add, f16", linear_add),
    ("attention, f16", attention),
    ("conv3d, f16", conv3d),
    ("norms, f16", norms),
    ("rms_norm_rope, f16", rms_norm_rope),
    ("moved f16", moved),
];

/// As F16 holds them.
fn rounded(values: &[f32]) -> Vec<f32> {
    Weight::new(values, Storage::F16).values()
}

fn operand(device: &Device, dims: &[usize], values: &[f32]) -> Result<Tensor> {
    let tensor = Tensor::from_slice_as(device, dims, values, OutputType::Operand)?;
    let even = dims[dims.len() - 1].is_multiple_of(2);
    assert_eq!(tensor.dtype(), if even { DType::F16 } else { DType::F32 }, "{dims:?}");
    Ok(tensor)
}

/// A result of F32 and one of F16 of the same op.
fn both(tell: Tell, case: &str, op: impl Fn(OutputType) -> Result<Tensor>, want: &[f64], limit: Limit) {
    tell(judge(format!("{case}, F32"), || op(OutputType::F32), want, None, limit));
    tell(judge(format!("{case}, F16"), || op(OutputType::Operand), want, None, limit.with(ROUNDED)));
}

/// Sizes beyond 65504 do not fit.
fn linear(device: &Device, tell: Tell) {
    for case in cases::LINEAR.iter().filter(|case| case.x().iter().all(|x| x.abs() < 6e4)) {
        // Rows of odd length stay F32, as does what is in them.
        let x = if case.k.is_multiple_of(2) { rounded(&case.x()) } else { case.x() };
        let (w, bias) = (read_as_halves(case.w()), case.bias());
        let want = reference::linear(&x, &w.values(), case.rows, case.k, case.n, bias.as_deref(), case.act);
        if want.iter().any(|value| value.abs() > 6e4) {
            continue;
        }
        let op = |output| {
            let bias = bias.as_ref().map(|bias| Tensor::from_slice(device, [case.n], bias)).transpose()?;
            let x = operand(device, &[case.rows, case.k], &x)?;
            ops::linear(&x, &weight(&w, &[case.n, case.k])?, bias.as_ref(), activation(case.act), output)
        };
        both(tell, &format!("{case:?}"), op, &want, case.limit());
    }
}

/// A gated residual branch on all rows and on some.
fn linear_add(device: &Device, tell: Tell) {
    for (rows, width, first, some) in [(7, 34, 2, 4), (90, 40, 3, 80), (140, 72, 9, 131)] {
        let (x, h) = (data::normal(1, rows * width), rounded(&data::normal(2, some * width)));
        let (w, bias) = (rounded(&data::normal(4, width * width)), data::normal(5, width));
        for gate in [None, Some(data::normal(3, width))] {
            let factor = |i: usize| gate.as_ref().map_or(1.0, |gate| gate[i % width].into());
            let mut want: Vec<f64> = x.iter().map(|&x| x.into()).collect();
            let added = reference::linear(&h, &w, some, width, width, Some(&bias), Act::None);
            for (i, added) in added.into_iter().enumerate() {
                want[first * width + i] += added * factor(i);
            }
            let op = || {
                let vector = |values: &[f32]| Tensor::from_slice(device, [width], values);
                let (x, h) = (Tensor::from_slice(device, [rows, width], &x)?, operand(device, &[some, width], &h)?);
                let w = weight(&Weight::new(&w, Storage::F16), &[width, width])?;
                let gate = gate.as_deref().map(vector).transpose()?;
                ops::linear_add(x, first, &h, &w, Some(&vector(&bias)?), gate.as_ref())
            };
            let case = format!("{some} of {rows} rows of {width}, gated: {}", gate.is_some());
            tell(judge(case, op, &want, None, Limit::F32.of_terms(1.0)));
        }
    }
}

/// Cooperative matrices load weights as F16, whatever they are stored as.
fn read_as_halves(w: Weight) -> Weight {
    Weight::new(&rounded(&w.values()), w.storage())
}

fn attention(device: &Device, tell: Tell) {
    for case in cases::ATTENTION.iter().filter(|case| case.q().iter().all(|q| q.is_nan() || q.abs() < 6e4)) {
        let (width, stride) = (case.width(), case.stride());
        let round = |values: Vec<f32>| if width.is_multiple_of(2) { rounded(&values) } else { values };
        let (q, k, v) = (round(case.q()), round(case.k()), round(case.v()));
        let bias_values = case.bias_values();
        let bias = match case.bias {
            BiasKind::None => ScoreBias::None,
            BiasKind::PerKey | BiasKind::FirstKeysHidden(_) => ScoreBias::PerKey(&bias_values),
            BiasKind::PerHead => ScoreBias::PerHead(&bias_values),
        };
        let want = reference::attention(case.sizes(), &q, &k, &v, bias);
        let op = |output| {
            let rows = |values: &[f32], rows| operand(device, &[rows, width], &dense(values, stride, width));
            let key = rows(&k, case.keys + case.spare)?;
            let value = rows(&v, case.keys + case.spare)?;
            let bias = |dims: &[usize]| Tensor::from_slice(device, dims, &bias_values);
            let bias = match case.bias {
                BiasKind::None => AttentionBias::None,
                BiasKind::PerKey | BiasKind::FirstKeysHidden(_) => AttentionBias::PerKey(bias(&[case.keys])?),
                BiasKind::PerHead => AttentionBias::PerHead(bias(&[case.heads, case.queries, case.keys])?),
            };
            let branch = KeyValue { key, value, bias, length: case.keys };
            ops::attention(&rows(&q, case.queries)?, &[branch], case.heads, case.scale(), output)
        };
        // Cooperative matrices load the softmax's weights as F16.
        let limit = if uses_cooperative(device) { case.limit().with(ROUNDED) } else { case.limit() };
        both(tell, &format!("{case:?}"), op, &want, limit);
    }
}

fn conv3d(device: &Device, tell: Tell) {
    for case in cases::CONV3D {
        let s = &case.sizes;
        let round = |values: Vec<f32>| if s.in_channels.is_multiple_of(2) { rounded(&values) } else { values };
        let (x, tail) = (round(case.x()), round(case.tail()));
        let want = reference::conv3d(s, &x, &tail, &read_as_halves(case.w()).values(), case.bias().as_deref());
        let op = || {
            let video = |frames, values: &[f32]| operand(device, &[frames, s.height, s.width, s.in_channels], values);
            let tail = (s.tail_frames > 0).then(|| video(s.tail_frames, &tail)).transpose()?;
            let [kt, kh, kw] = s.kernel;
            let w = weight(&read_as_halves(case.w()), &[s.out_channels, s.in_channels, kt, kh, kw])?;
            let bias = case.bias().map(|bias| Tensor::from_slice(device, [s.out_channels], &bias)).transpose()?;
            let params = Conv3dParams { stride: s.stride, pad_front: s.pad_front, pad: s.pad };
            ops::conv3d(&video(s.frames, &x)?, tail.as_ref(), &w, bias.as_ref(), params)
        };
        tell(judge(case, op, &want, None, case.limit()));
    }
}

/// The three norms of numbers that F16 can hold.
fn norms(device: &Device, tell: Tell) {
    for (rows, width) in [(3, 2), (40, 6), (7, 64), (9, 1536), (5, 7)] {
        let x: Vec<f32> = data::normal(31, rows * width);
        let x = if width % 2 == 0 { rounded(&x) } else { x };
        let (scale, shift) = (data::normal(32, width), data::normal(33, width));
        let limit = Limit::F32.of_terms(1.0);
        let given = || -> Result<_> {
            let vector = |values: &[f32]| Tensor::from_slice(device, [width], values);
            Ok((operand(device, &[rows, width], &x)?, vector(&scale)?, vector(&shift)?))
        };
        let name = |norm: &str| format!("{norm} of {rows} rows of {width}");
        let rms = |output| given().and_then(|(x, scale, _)| ops::rms_norm(&x, &scale, EPS, output));
        both(tell, &name("rms"), rms, &reference::rms_norm(&x, &scale, EPS.into()), limit);
        let layer = |output| given().and_then(|(x, a, b)| ops::layer_norm(&x, Some((&a, &b)), EPS, output));
        let want = reference::layer_norm(&x, width, Some((&scale, &shift)), EPS.into());
        both(tell, &name("layer"), layer, &want, limit);
        let channel =
            |output| given().and_then(|(x, scale, _)| ops::channel_norm(&x, &scale, Activation::Silu, output));
        let want = reference::channel_norm(&x, &scale);
        let want: Vec<f64> = want.iter().map(|&x| reference::activate_one(x, Act::Silu)).collect();
        both(tell, &name("channel"), channel, &want, limit);
    }
}

fn rms_norm_rope(device: &Device, tell: Tell) {
    for case in cases::ROPE {
        let (width, (cos, sin)) = (case.heads * case.head_dim, case.tables());
        let (x, weight) = (rounded(&case.x()), data::normal(7, width));
        let op = || {
            let table = |values: &[f32]| Tensor::from_slice(device, [case.table_rows, case.head_dim / 2], values);
            let weight = Tensor::from_slice(device, [width], &weight)?;
            let x = operand(device, &[case.rows, width], &x)?;
            ops::rms_norm_rope(x, &weight, EPS, case.heads, &table(&cos)?, &table(&sin)?)
        };
        let normed = reference::rms_norm(&x, &weight, EPS.into());
        let normed: Vec<f32> = normed.iter().map(|&x| x as f32).collect();
        let want = reference::rope(&normed, case.heads, case.head_dim, &cos, &sin);
        tell(judge(case, op, &want, None, ROUNDED));
    }
}

/// Frames and rows that are copied, parts, and copies of what is shared.
fn moved(device: &Device, tell: Tell) {
    let (before, x) = (rounded(&data::normal(1, 2 * 2 * 3 * 6)), rounded(&data::normal(2, 3 * 2 * 3 * 6)));
    let frames = |count, values: &[f32]| operand(device, &[count, 2, 3, 6], values);
    let op = || ops::last_frames(Some(&frames(2, &before)?), &frames(3, &x)?, 4)?.narrow(1..3);
    let all = [&before[..], &x].concat();
    let want: Vec<f64> = all[2 * 36..4 * 36].iter().map(|&value| value.into()).collect();
    tell(judge("frames", op, &want, None, Limit::EXACT));
    let op = || ops::repeat_rows(&operand(device, &[30, 6], &all)?.narrow(1..3)?, 2);
    let want: Vec<f64> = [&all[6..18], &all[6..18]].concat().iter().map(|&value| value.into()).collect();
    tell(judge("rows", op, &want, None, Limit::EXACT));
}
