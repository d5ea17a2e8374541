//! A case with operands on a device, ready to run.

use zoetrope::ops::{self, Activation, Conv3dParams, KeyValue, OutputType};
use zoetrope::weights::Weight;
use zoetrope::{Device, Result, Tensor};

use crate::random;
use speeds::case::{Attention, Case, Conv3d, Elementwise, ElementwiseKind, Linear, Norm, NormKind, ROPE_HEAD};
use speeds::results::Storage;

/// Added under the roots of norms, as Wan has it.
pub const EPS: f32 = 1e-6;

/// A case with its operands.
pub struct Task {
    case: Case,
    operands: Operands,
    /// What came of the last run: another task's is then written elsewhere, and no cache holds all of them.
    result: Option<Tensor>,
}

/// The operands of an op.
pub enum Operands {
    /// A layer's input, weight and bias.
    Linear {
        /// `[rows, k]`.
        x: Tensor,
        /// `[n, k]`.
        w: Weight,
        /// `[n]`.
        bias: Tensor,
    },
    /// Queries, keys and values.
    Attention {
        /// `[queries, heads * head_dim]`.
        q: Tensor,
        /// `[keys, heads * head_dim]` each.
        kv: KeyValue,
    },
    /// A convolution's input, earlier frames, weight and bias.
    Conv3d {
        /// `[T, H, W, C]`.
        x: Tensor,
        /// `[history, H, W, C]`.
        tail: Option<Tensor>,
        /// `[N, C, kt, kh, kw]`.
        w: Weight,
        /// `[N]`.
        bias: Tensor,
    },
    /// Rows, and two vectors as wide as they are.
    Rows {
        /// What an op in place leaves, or what others read.
        x: Tensor,
        /// The second operand: rows or a vector.
        a: Tensor,
        /// The third.
        b: Tensor,
    },
}

impl Task {
    /// Operands of random numbers, with weights stored as `storage`; another `seed` gives others.
    ///
    /// # Errors
    /// [`zoetrope::Error::OutOfMemory`], [`zoetrope::Error::Device`].
    pub fn new(case: Case, storage: Storage, device: &Device, seed: u64) -> Result<Self> {
        let mut stream = seed.wrapping_mul(16);
        let mut seed = || {
            stream += 1;
            stream
        };
        // What a product reads is kept as the device keeps it.
        let mut kept = |shape: &[usize], scale: f32, output: OutputType| {
            Tensor::from_slice_as(device, shape, &random::normal(seed(), shape.iter().product(), scale), output)
        };
        let operands = match case {
            Case::Linear(Linear { rows, k, n }) => {
                let (x, bias) = (kept(&[rows, k], 1.0, OutputType::Operand)?, kept(&[n], 1.0, OutputType::F32)?);
                Operands::Linear { x, w: weight(seed(), &[n, k], k, storage)?, bias }
            }
            Case::Attention(Attention { heads, head_dim, queries, keys }) => {
                let width = heads * head_dim;
                let mut rows = |rows| kept(&[rows, width], 1.0, OutputType::Operand);
                let (q, k, v) = (rows(queries)?, rows(keys)?, rows(keys)?);
                Operands::Attention { q, kv: KeyValue::new(k, v) }
            }
            Case::Conv3d(Conv3d { frames, height, width, inputs, outputs, kernel, history }) => {
                let mut video = |frames| kept(&[frames, height, width, inputs], 1.0, OutputType::Operand);
                let x = video(frames)?;
                let tail = (history > 0).then(|| video(history)).transpose()?;
                let bias = kept(&[outputs], 1.0, OutputType::F32)?;
                let [kt, kh, kw] = kernel;
                let shape = [outputs, inputs, kt, kh, kw];
                Operands::Conv3d { x, tail, w: weight(seed(), &shape, inputs * kt * kh * kw, storage)?, bias }
            }
            Case::Norm(Norm { rows, width, .. }) => {
                let mut full = |shape: &[usize]| kept(shape, 1.0, OutputType::F32);
                Operands::Rows { x: full(&[rows, width])?, a: full(&[width])?, b: full(&[width])? }
            }
            Case::Elementwise(op) => rows(op, &mut |shape, scale| kept(shape, scale, OutputType::F32))?,
        };
        Ok(Self { case, operands, result: None })
    }

    /// The operands, for whoever checks what comes of them.
    pub fn operands(&self) -> &Operands {
        &self.operands
    }

    /// Runs the op once; the result of an op in place becomes its next operand.
    ///
    /// # Errors
    /// Those of the op.
    pub fn run(&mut self) -> Result<Tensor> {
        // Its memory is for the next.
        self.result = None;
        let result = self.run_op()?;
        // An op in place needs the only handle of what it writes.
        let in_place = |kind| !matches!(kind, ElementwiseKind::Copy | ElementwiseKind::Upsample);
        if !matches!(self.case, Case::Elementwise(op) if in_place(op.kind)) {
            self.result = Some(result.clone());
        }
        Ok(result)
    }

    fn run_op(&mut self) -> Result<Tensor> {
        match (&self.case, &mut self.operands) {
            (Case::Attention(shape), Operands::Attention { q, kv }) => {
                ops::attention(q, std::slice::from_ref(kv), shape.heads, scale(shape), OutputType::Operand)
            }
            (Case::Conv3d(conv), Operands::Conv3d { x, tail, w, bias }) => {
                ops::conv3d(x, tail.as_ref(), w, Some(bias), params(conv))
            }
            (Case::Norm(Norm { kind, .. }), Operands::Rows { x, a, b }) => match kind {
                NormKind::LayerNorm => ops::layer_norm(x, None, EPS, OutputType::Operand),
                NormKind::LayerNormAffine => ops::layer_norm(x, Some((a, b)), EPS, OutputType::Operand),
                NormKind::RmsNorm => ops::rms_norm(x, a, EPS, OutputType::Operand),
                NormKind::ChannelNorm => ops::channel_norm(x, a, Activation::None, OutputType::Operand),
                NormKind::ChannelNormSilu => ops::channel_norm(x, a, Activation::Silu, OutputType::Operand),
            },
            (Case::Elementwise(op), Operands::Rows { x, a, b }) => elementwise(op, x, a, b),
            (_, Operands::Linear { x, w, bias }) => {
                ops::linear(x, w, Some(bias), Activation::None, OutputType::Operand)
            }
            // `new` makes the operands of the case.
            (case, _) => {
                let why = format!("{case} has operands of another op");
                Err(zoetrope::Error::Request { what: "case", why })
            }
        }
    }
}

/// The factor of the scores.
pub fn scale(shape: &Attention) -> f32 {
    1.0 / (shape.head_dim as f32).sqrt()
}

/// Stride 1, "same" padding in space, zeros for what of the past is not there.
fn params(conv: &Conv3d) -> Conv3dParams {
    let [kt, kh, kw] = conv.kernel;
    let pad = [kh / 2, kh / 2, kw / 2, kw / 2];
    Conv3dParams { stride: [1; 3], pad_front: (kt - 1).saturating_sub(conv.history), pad }
}

/// A weight whose sums of `terms` products have variance 1.
fn weight(seed: u64, shape: &[usize], terms: usize, storage: Storage) -> Result<Weight> {
    let scale = 1.0 / (terms as f32).sqrt();
    Weight::from_bytes("weight", storage.stored(), shape, random::stored(seed, shape.iter().product(), scale, storage))
}

/// Operands that an op in place can run on for ever: a sum grows slowly, what multiplies keeps the size of things.
fn rows(
    Elementwise { kind, rows, width }: Elementwise,
    scaled: &mut dyn FnMut(&[usize], f32) -> Result<Tensor>,
) -> Result<Operands> {
    let x = scaled(&[rows, width], 1.0)?;
    let device = x.device().clone();
    let mapped = |tensor: Tensor, f: &dyn Fn(f32) -> f32| {
        let values: Vec<f32> = tensor.values()?.iter().map(|&value| f(value)).collect();
        Tensor::from_slice(&device, tensor.shape(), &values)
    };
    let (a, b) = match kind {
        ElementwiseKind::Add => (scaled(&[rows, width], 1.0)?, scaled(&[1], 1.0)?),
        ElementwiseKind::GatedAdd => (scaled(&[rows, width], 1.0)?, scaled(&[width], 1.0)?),
        ElementwiseKind::Mul => (mapped(scaled(&[rows, width], 1.0)?, &|x| 1f32.copysign(x))?, scaled(&[1], 1.0)?),
        ElementwiseKind::Modulate => {
            (mapped(scaled(&[width], 1.0)?, &|x| -0.25 - 0.05 * x.abs())?, scaled(&[width], 1.0)?)
        }
        ElementwiseKind::Rope => {
            let half = ROPE_HEAD.min(width) / 2;
            let angle = scaled(&[rows, half], 3.0)?;
            (mapped(angle.clone(), &f32::cos)?, mapped(angle, &f32::sin)?)
        }
        ElementwiseKind::Copy | ElementwiseKind::Upsample => (scaled(&[1], 1.0)?, scaled(&[1], 1.0)?),
    };
    Ok(Operands::Rows { x, a, b })
}

/// Has `x` replaced by the result of an op in place.
fn elementwise(op: &Elementwise, x: &mut Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let Elementwise { kind, rows, width } = *op;
    match kind {
        ElementwiseKind::Copy => return ops::repeat_rows(x, 1),
        ElementwiseKind::Upsample => {
            // One frame, one row of pixels.
            return ops::upsample_nearest(&x.clone().reshape([1, 1, rows, width])?, [2, 2]);
        }
        _ => {}
    }
    // The op gets the only handle, and so writes where it reads.
    let own = std::mem::replace(x, a.clone());
    let result = match kind {
        ElementwiseKind::Add => ops::add(own, a)?,
        ElementwiseKind::Mul => ops::mul(own, a)?,
        ElementwiseKind::GatedAdd => ops::gated_add(own, a, b)?,
        ElementwiseKind::Modulate => ops::modulate(own, a, b)?,
        _ => ops::rope(own, width / ROPE_HEAD.min(width), a, b)?,
    };
    *x = result.clone();
    // The caller's clone is gone before the next run.
    Ok(result)
}
