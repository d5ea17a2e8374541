//! Every op on a device over the cases of `common`, held against the oracle: for tests and for `generate --self-test`.
//!
//! Needs `common` beside it in the crate that compiles it.
#![allow(dead_code, reason = "tests do not ask for figures, the self-test does not ask for single ops")]

use std::fmt::Debug;
use std::time::Instant;

use zoetrope::ops::{self, Activation, AttentionBias, Conv3dParams, KeyValue, OutputType};
use zoetrope::weights::{self, Weight};
use zoetrope::{Device, Result, Tensor};

use super::common::cases::{self, BiasKind};
use super::common::compare::{self, Limit};
use super::common::data::{self, Storage, Weight as StoredWeight};
use super::common::reference::{self, Act};

mod f16;

pub use f16::F16;

const EPS: f32 = 1e-6;
/// Drivers may round to F16 either way: by up to 2^-10 of a number.
const ROUNDED: Limit = Limit { relative_l2: 7e-4, max_abs: 1e-3, terms: 0.0 };

/// What came of one case.
pub struct Outcome {
    /// The case in words.
    pub case: String,
    /// Relative l2 distance to the oracle; NaN if the op failed.
    pub error: f64,
    /// From the call to the numbers.
    pub seconds: f64,
    /// Within the op's limit, or how far beyond.
    pub verdict: std::result::Result<(), String>,
}

/// Takes the outcome of each case.
pub type Tell<'a> = &'a mut dyn FnMut(Outcome);

/// Runs all cases of an op.
pub type Check = fn(&Device, Tell);

/// All ops by their names.
pub const ALL: &[(&str, Check)] = &[
    ("linear", linear),
    ("linear_add", linear_add),
    ("attention", attention),
    ("conv3d", conv3d),
    ("conv3d_add", conv3d_add),
    ("rms_norm", rms_norm),
    ("layer_norm", layer_norm),
    ("channel_norm", channel_norm),
    ("add", add),
    ("mul", mul),
    ("affine", affine),
    ("clamp", clamp),
    ("modulate", modulate),
    ("gated_add", gated_add),
    ("activate", activate),
    ("rope", rope),
    ("rms_norm_rope", rms_norm_rope),
    ("upsample_nearest", upsample_nearest),
    ("interleave_frames", interleave_frames),
    ("last_frames", last_frames),
    ("concat", concat),
    ("patchify", patchify),
    ("unpatchify", unpatchify),
    ("channels_last", channels_last),
    ("channels_first", channels_first),
    ("repeat_rows", repeat_rows),
    ("embedding", embedding),
];

/// Runs an op and compares; by rows of `width` if one is given.
fn judge(
    case: impl Debug,
    op: impl FnOnce() -> Result<Tensor>,
    want: &[f64],
    width: Option<usize>,
    limit: Limit,
) -> Outcome {
    let start = Instant::now();
    let got = op().and_then(|out| out.to_vec());
    let seconds = start.elapsed().as_secs_f64();
    let (error, verdict) = match got {
        Err(error) => (f64::NAN, Err(error.to_string())),
        Ok(got) => {
            let error = if got.len() == want.len() { compare::relative_l2(&got, want, limit.terms) } else { f64::NAN };
            let verdict = match width {
                Some(width) => compare::agree_by_row(&got, want, width, limit),
                None => compare::agree(&got, want, limit),
            };
            (error, verdict)
        }
    };
    Outcome { case: format!("{case:?}"), error, seconds, verdict }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn tensor(device: &Device, dims: &[usize], values: &[f32]) -> Result<Tensor> {
    Tensor::from_slice(device, dims, values)
}

fn weight(stored: &StoredWeight, dims: &[usize]) -> Result<Weight> {
    let storage = match stored.storage() {
        Storage::F32 => weights::Storage::F32,
        Storage::F16 => weights::Storage::F16,
        Storage::BF16 => weights::Storage::BF16,
    };
    Weight::from_bytes("w", storage, dims, stored.bytes().to_vec())
}

/// A limit where a weight may have been rounded to F16 for cooperative matrices.
fn rounding(device: &Device, storage: Storage, limit: Limit) -> Limit {
    if storage == Storage::F32 && uses_cooperative(device) { limit.with(ROUNDED) } else { limit }
}

fn uses_cooperative(device: &Device) -> bool {
    matches!(device, Device::Vulkan(vulkan) if vulkan.matrices().is_some())
}

fn activation(act: Act) -> Activation {
    match act {
        Act::None => Activation::None,
        Act::Silu => Activation::Silu,
        Act::GeluTanh => Activation::GeluTanh,
    }
}

pub fn linear(device: &Device, tell: Tell) {
    for case in cases::LINEAR {
        let op = || {
            let x = tensor(device, &[case.rows, case.k], &case.x())?;
            let bias = case.bias().map(|bias| tensor(device, &[case.n], &bias)).transpose()?;
            let w = weight(&case.w(), &[case.n, case.k])?;
            ops::linear(&x, &w, bias.as_ref(), activation(case.act), OutputType::F32)
        };
        tell(judge(case, op, &case.want(), None, rounding(device, case.storage, case.limit())));
    }
}

/// On all rows and on some, with a gate and without.
pub fn linear_add(device: &Device, tell: Tell) {
    for (rows, width, first, some) in [(1, 1, 0, 1), (7, 33, 2, 4), (90, 40, 3, 80), (6, 64, 6, 0)] {
        for gated in [true, false] {
            let (x, h) = (data::normal(1, rows * width), data::normal(2, some * width));
            let gate = if gated { data::normal(3, width) } else { vec![1.0; width] };
            let (w, bias) = (data::normal(4, width * width), data::normal(5, width));
            let mut want = wide(&x);
            let added = reference::linear(&h, &w, some, width, width, Some(&bias), Act::None);
            for (i, added) in added.into_iter().enumerate() {
                want[first * width + i] += added * f64::from(gate[i % width]);
            }
            let op = || {
                let (x, h) = (tensor(device, &[rows, width], &x)?, tensor(device, &[some, width], &h)?);
                let (bias, gate) = (tensor(device, &[width], &bias)?, tensor(device, &[width], &gate)?);
                let w = Weight::from_f32("w", [width, width], w.clone());
                ops::linear_add(x, first, &h, &w, Some(&bias), gated.then_some(&gate))
            };
            let case = format!("{some} of {rows} rows of {width}, gated: {gated}");
            tell(judge(case, op, &want, None, rounding(device, Storage::F32, Limit::F32.of_terms(1.0))));
        }
    }
}

/// Rows without what stands between them.
fn dense(values: &[f32], stride: usize, width: usize) -> Vec<f32> {
    values.chunks(stride).flat_map(|row| &row[..width]).copied().collect()
}

/// One branch, then two of them, each of which is to be as one alone, to the bit.
pub fn attention(device: &Device, tell: Tell) {
    for case in cases::ATTENTION {
        let (width, stride) = (case.width(), case.stride());
        let rows = |values: Vec<f32>, rows| tensor(device, &[rows, width], &dense(&values, stride, width));
        let branch = || {
            let key = rows(case.k(), case.keys + case.spare)?;
            let value = rows(case.v(), case.keys + case.spare)?;
            let values = case.bias_values();
            let bias = match case.bias {
                BiasKind::None => AttentionBias::None,
                BiasKind::PerKey | BiasKind::FirstKeysHidden(_) => {
                    AttentionBias::PerKey(tensor(device, &[case.keys], &values)?)
                }
                BiasKind::PerHead => {
                    AttentionBias::PerHead(tensor(device, &[case.heads, case.queries, case.keys], &values)?)
                }
            };
            Ok(KeyValue { key, value, bias, length: case.keys })
        };
        let one =
            || ops::attention(&rows(case.q(), case.queries)?, &[branch()?], case.heads, case.scale(), OutputType::F32);
        tell(judge(case, one, &case.want(), None, case.limit()));
        let both = || {
            let twice = ops::repeat_rows(&rows(case.q(), case.queries)?, 2)?;
            let branch = branch()?;
            let both = ops::attention(&twice, &[branch.clone(), branch], case.heads, case.scale(), OutputType::F32)?;
            both.narrow(case.queries..2 * case.queries)
        };
        let alone = one().and_then(|out| out.to_vec()).unwrap_or_default();
        tell(judge(("two branches", case), both, &wide(&alone), None, Limit::EXACT));
    }
}

pub fn conv3d(device: &Device, tell: Tell) {
    for case in cases::CONV3D {
        tell(judge(
            case,
            || convolved(device, case, None),
            &case.want(),
            None,
            rounding(device, case.storage, case.limit()),
        ));
    }
}

/// On top of what the convolution itself is.
pub fn conv3d_add(device: &Device, tell: Tell) {
    for case in cases::CONV3D {
        let want = case.want();
        let onto: Vec<f32> = want.iter().map(|&x| x as f32).collect();
        let sum: Vec<f64> = want.iter().zip(&onto).map(|(x, &y)| x + f64::from(y)).collect();
        tell(judge(
            case,
            || convolved(device, case, Some(&onto)),
            &sum,
            None,
            rounding(device, case.storage, case.limit()),
        ));
    }
}

/// A case's convolution, or numbers to which it is added.
fn convolved(device: &Device, case: &cases::Conv3d, onto: Option<&[f32]>) -> Result<Tensor> {
    let s = &case.sizes;
    let frame = [s.height, s.width, s.in_channels];
    let video = |frames, values: &[f32]| tensor(device, &[&[frames], &frame[..]].concat(), values);
    let x = video(s.frames, &case.x())?;
    let tail = (s.tail_frames > 0).then(|| video(s.tail_frames, &case.tail())).transpose()?;
    let [kt, kh, kw] = s.kernel;
    let w = weight(&case.w(), &[s.out_channels, s.in_channels, kt, kh, kw])?;
    let bias = case.bias().map(|bias| tensor(device, &[s.out_channels], &bias)).transpose()?;
    let params = Conv3dParams { stride: s.stride, pad_front: s.pad_front, pad: s.pad };
    match onto {
        Some(onto) => {
            let [frames, height, width] = s.out();
            let onto = tensor(device, &[frames, height, width, s.out_channels], onto)?;
            ops::conv3d_add(onto, &x, tail.as_ref(), &w, bias.as_ref(), params)
        }
        None => ops::conv3d(&x, tail.as_ref(), &w, bias.as_ref(), params),
    }
}

/// A case of rows on a device: x and y `[rows, width]`, scale and shift `[width]`.
struct RowsOf {
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
}

/// Runs an op of rows over their cases; x is shared, so that it is copied where the op writes in place.
fn rows(device: &Device, tell: Tell, op: fn(&RowsOf) -> Result<Tensor>, want: fn(&cases::Rows) -> Vec<f64>) {
    for case in cases::ROWS {
        let op = || {
            let matrix = |values: &[f32]| tensor(device, &[case.rows, case.width], values);
            let vector = |values: &[f32]| tensor(device, &[case.width], values);
            let (x, y) = (matrix(&case.x())?, matrix(&case.y())?);
            let given = RowsOf { x, y, scale: vector(&case.scale())?, shift: vector(&case.shift())? };
            let out = op(&given)?;
            assert_eq!(given.x.to_vec()?, case.x(), "a shared input is left alone");
            Ok(out)
        };
        tell(judge(case, op, &want(case), Some(case.width), Limit::F32.of_terms(1.0)));
    }
}

pub fn rms_norm(device: &Device, tell: Tell) {
    let op = |r: &RowsOf| ops::rms_norm(&r.x, &r.scale, EPS, OutputType::F32);
    // The oracle takes the eps that the op gets, which is not 1e-6 to the last digit.
    rows(device, tell, op, |case| reference::rms_norm(&case.x(), &case.scale(), EPS.into()));
}

pub fn layer_norm(device: &Device, tell: Tell) {
    let op = |r: &RowsOf| ops::layer_norm(&r.x, Some((&r.scale, &r.shift)), EPS, OutputType::F32);
    rows(device, tell, op, |case| {
        reference::layer_norm(&case.x(), case.width, Some((&case.scale(), &case.shift())), EPS.into())
    });
    rows(
        device,
        tell,
        |r| ops::layer_norm(&r.x, None, EPS, OutputType::F32),
        |case| reference::layer_norm(&case.x(), case.width, None, EPS.into()),
    );
}

pub fn channel_norm(device: &Device, tell: Tell) {
    let op = |r: &RowsOf| ops::channel_norm(&r.x, &r.scale, Activation::None, OutputType::F32);
    rows(device, tell, op, |case| reference::channel_norm(&case.x(), &case.scale()));
    let op = |r: &RowsOf| ops::channel_norm(&r.x, &r.scale, Activation::Silu, OutputType::F32);
    rows(device, tell, op, |case| {
        let normed = reference::channel_norm(&case.x(), &case.scale());
        normed.iter().map(|&x| reference::activate_one(x, Act::Silu)).collect()
    });
}

pub fn add(device: &Device, tell: Tell) {
    rows(device, tell, |r| ops::add(r.x.clone(), &r.y), |case| reference::add(&case.x(), &case.y()));
}

pub fn mul(device: &Device, tell: Tell) {
    rows(device, tell, |r| ops::mul(r.x.clone(), &r.y), |case| reference::mul(&case.x(), &case.y()));
}

pub fn affine(device: &Device, tell: Tell) {
    let op = |r: &RowsOf| ops::affine(r.x.clone(), &r.scale, &r.shift);
    rows(device, tell, op, |case| reference::affine(&case.x(), &case.scale(), &case.shift()));
}

pub fn clamp(device: &Device, tell: Tell) {
    rows(device, tell, |r| ops::clamp(r.x.clone(), -0.5, 0.25), |case| reference::clamp(&case.x(), -0.5, 0.25));
}

pub fn modulate(device: &Device, tell: Tell) {
    let op = |r: &RowsOf| ops::modulate(r.x.clone(), &r.scale, &r.shift);
    rows(device, tell, op, |case| reference::modulate(&case.x(), &case.scale(), &case.shift()));
}

pub fn gated_add(device: &Device, tell: Tell) {
    let op = |r: &RowsOf| ops::gated_add(r.x.clone(), &r.y, &r.scale);
    rows(device, tell, op, |case| reference::gated_add(&case.x(), &case.y(), &case.scale()));
}

pub fn activate(device: &Device, tell: Tell) {
    for act in [Act::Silu, Act::GeluTanh] {
        let op = || ops::activate(tensor(device, &[cases::EXTREMES.len()], cases::EXTREMES)?, activation(act));
        let want = reference::activate(cases::EXTREMES, act);
        tell(judge(act, op, &want, Some(1), Limit::F32.of_terms(0.1)));
    }
}

pub fn rope(device: &Device, tell: Tell) {
    for case in cases::ROPE {
        let op = || {
            let (cos, sin) = case.tables();
            let table = |values: &[f32]| tensor(device, &[case.table_rows, case.head_dim / 2], values);
            let x = tensor(device, &[case.rows, case.heads * case.head_dim], &case.x())?;
            ops::rope(x, case.heads, &table(&cos)?, &table(&sin)?)
        };
        tell(judge(case, op, &case.want(), None, Limit::F32));
    }
}

/// In place and not.
pub fn rms_norm_rope(device: &Device, tell: Tell) {
    for case in cases::ROPE {
        for shared in [true, false] {
            let (width, (cos, sin)) = (case.heads * case.head_dim, case.tables());
            let weight = data::normal(7, width);
            let op = || {
                let table = |values: &[f32]| tensor(device, &[case.table_rows, case.head_dim / 2], values);
                let x = tensor(device, &[case.rows, width], &case.x())?;
                let other = shared.then(|| x.clone());
                let weight = tensor(device, &[width], &weight)?;
                let out = ops::rms_norm_rope(x, &weight, EPS, case.heads, &table(&cos)?, &table(&sin)?)?;
                let kept = other.map_or(Ok(case.x()), |other| other.to_vec())?;
                assert!(kept == case.x(), "a shared input is left alone");
                Ok(out)
            };
            let normed = reference::rms_norm(&case.x(), &weight, EPS.into());
            let normed: Vec<f32> = normed.iter().map(|&x| x as f32).collect();
            let want = reference::rope(&normed, case.heads, case.head_dim, &cos, &sin);
            tell(judge((case, shared), op, &want, None, Limit::F32));
        }
    }
}

pub fn upsample_nearest(device: &Device, tell: Tell) {
    for case in cases::UPSAMPLE {
        let op = || ops::upsample_nearest(&tensor(device, &case.shape, &case.x())?, [case.fh, case.fw]);
        tell(judge(case, op, &case.want(), None, Limit::EXACT));
    }
}

pub fn interleave_frames(device: &Device, tell: Tell) {
    for case in cases::INTERLEAVE {
        let op = || ops::interleave_frames(&tensor(device, &case.shape, &case.x())?);
        tell(judge(case, op, &case.want(), None, Limit::EXACT));
    }
}

/// Frames of one row each: what stays is the end of both.
pub fn last_frames(device: &Device, tell: Tell) {
    for (before, frames, width, count) in [(2, 1, 1, 2), (0, 1, 5, 2), (2, 3, 7, 2), (1, 1, 3, 2), (3, 0, 4, 2)] {
        let (earlier, x) = (data::normal(1, before * width), data::normal(2, frames * width));
        let both = [&earlier[..], &x].concat();
        let want = wide(&both[both.len().saturating_sub(count * width)..]);
        let op = || {
            let video = |values: &[f32]| tensor(device, &[values.len() / width, 1, 1, width], values);
            let earlier = (before > 0).then(|| video(&earlier)).transpose()?;
            ops::last_frames(earlier.as_ref(), &video(&x)?, count)
        };
        tell(judge(format!("{count} of {before} and {frames}"), op, &want, None, Limit::EXACT));
    }
}

pub fn concat(device: &Device, tell: Tell) {
    const WIDTH: usize = 3;
    for lengths in [&[4][..], &[2, 3], &[1, 0, 70]] {
        let values: Vec<Vec<f32>> =
            lengths.iter().zip(1..).map(|(rows, seed)| data::normal(seed, rows * WIDTH)).collect();
        let op = || {
            let parts = values.iter().map(|part| tensor(device, &[part.len() / WIDTH, WIDTH], part));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            ops::concat(&parts.iter().collect::<Vec<_>>())
        };
        tell(judge(format!("{lengths:?}"), op, &wide(&values.concat()), None, Limit::EXACT));
    }
}

pub fn patchify(device: &Device, tell: Tell) {
    for case in cases::PATCHES {
        let op = || ops::patchify(&tensor(device, &case.shape, &case.x())?, case.patch);
        tell(judge(case, op, &case.want_patchify(), None, Limit::EXACT));
    }
}

pub fn unpatchify(device: &Device, tell: Tell) {
    for case in cases::PATCHES {
        let ([c, t, h, w], [pt, ph, pw]) = (case.shape, case.patch);
        let rows = [(t / pt) * (h / ph) * (w / pw), c * pt * ph * pw];
        let op = || ops::unpatchify(&tensor(device, &rows, &case.x())?, case.shape, case.patch);
        tell(judge(case, op, &case.want_unpatchify(), None, Limit::EXACT));
    }
}

pub fn channels_last(device: &Device, tell: Tell) {
    for case in cases::CHANNELS {
        let op = || ops::channels_last(&tensor(device, &[case.channels, case.pixels], &case.x())?);
        tell(judge(case, op, &reference::channels_last(&case.x(), case.channels), None, Limit::EXACT));
    }
}

pub fn channels_first(device: &Device, tell: Tell) {
    for case in cases::CHANNELS {
        let last: Vec<f32> =
            reference::channels_last(&case.x(), case.channels).into_iter().map(|value| value as f32).collect();
        let op = || ops::channels_first(&tensor(device, &[case.pixels, case.channels], &last)?);
        tell(judge(case, op, &wide(&case.x()), None, Limit::EXACT));
    }
}

pub fn repeat_rows(device: &Device, tell: Tell) {
    for (rows, width, times) in [(1, 1, 3), (5, 7, 2), (0, 4, 2), (40, 33, 1)] {
        let x = data::normal(1, rows * width);
        let op = || ops::repeat_rows(&tensor(device, &[rows, width], &x)?, times);
        tell(judge((rows, width, times), op, &wide(&x.repeat(times)), None, Limit::EXACT));
    }
}

pub fn embedding(device: &Device, tell: Tell) {
    for case in cases::EMBEDDING {
        let op = || ops::embedding(device, &weight(&case.table(), &[case.vocab, case.width])?, &case.ids());
        let want = reference::embedding(&case.table().values(), case.width, &case.ids());
        tell(judge(case, op, &want, None, Limit::EXACT));
    }
}
