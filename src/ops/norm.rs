use zoetrope_kernels::{self as kernels, Activation};

use super::activation::activation_constant;
use super::checks::{check, check_row_vector, finished};
use super::dispatch::{Dispatch, LOCAL};
use super::rope::{check_rope, rope, runs_of};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::{OutputType, Tensor};
use crate::vulkan::constants::{LOCAL_SIZE, norm as constants, norm_rope, row};
use crate::vulkan::{self, Vulkan};

/// `x / sqrt(mean(x²) + eps) * weight` over the last axis.
///
/// `x` `[.., D]`, `weight` `D` values. Zhang and Sennrich, arXiv 1910.07467.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `weight` does not have `D` values.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32, output: OutputType) -> Result<Tensor> {
    check_row_vector("rms_norm", x, weight)?;
    let mut out = Tensor::uninit_as(x.device(), x.shape(), output)?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::rms_norm(exec, x.data(), weight.data(), eps, out)
        }),
        Device::Vulkan(vulkan) => run(vulkan, (RMS_NORM, Activation::None), x, &mut out, Some(weight), None, eps)?,
    }
    finished(out)
}

/// `(x - mean) / sqrt(variance + eps)` over the last axis, then `* weight + bias` if there is an affine part.
///
/// `x` `[.., D]`, `affine` weight and bias of `D` values; the variance is the biased one. Ba et al., arXiv 1607.06450.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the affine part does not have `D` values.
pub fn layer_norm(x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f32, output: OutputType) -> Result<Tensor> {
    let width = x.shape().last();
    check(x.shape().rank() >= 1 && width > 0, "layer_norm", x.shape(), [width], "a last axis that is not empty")?;
    if let Some((weight, bias)) = affine {
        check_row_vector("layer_norm", x, weight)?;
        check_row_vector("layer_norm", x, bias)?;
    }
    let mut out = Tensor::uninit_as(x.device(), x.shape(), output)?;
    match x.device() {
        Device::Cpu(cpu) => {
            let affine = affine.map(|(weight, bias)| (weight.data(), bias.data()));
            cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
                kernels::layer_norm(exec, x.data(), width, affine, eps, out)
            });
        }
        Device::Vulkan(vulkan) => {
            let (weight, bias) = affine.unzip();
            run(vulkan, (LAYER_NORM, Activation::None), x, &mut out, weight, bias, eps)?;
        }
    }
    finished(out)
}

/// `activation(x / max(|x|, 1e-12) * sqrt(C) * gamma)` over the last axis: the norm of Wan's VAE.
///
/// `x` `[.., C]`, `gamma` `C` values, `|x|` the Euclidean length over the channels. `WanRMS_norm` of diffusers'
/// `autoencoder_kl_wan.py`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `gamma` does not have `C` values.
pub fn channel_norm(x: &Tensor, gamma: &Tensor, activation: Activation, output: OutputType) -> Result<Tensor> {
    check_row_vector("channel_norm", x, gamma)?;
    let mut out = Tensor::uninit_as(x.device(), x.shape(), output)?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::channel_norm(exec, x.data(), gamma.data(), activation, out)
        }),
        Device::Vulkan(vulkan) => run(vulkan, (CHANNEL_NORM, activation), x, &mut out, Some(gamma), None, 0.0)?,
    }
    finished(out)
}

/// [`rope`] of [`rms_norm`]: what queries and keys go through. In place if `x` is not shared, of `x`'s type.
///
/// # Errors
/// Those of both.
pub fn rms_norm_rope(
    mut x: Tensor,
    weight: &Tensor,
    eps: f32,
    heads: usize,
    cos: &Tensor,
    sin: &Tensor,
) -> Result<Tensor> {
    const OP: &str = "rms_norm_rope";
    check_row_vector(OP, &x, weight)?;
    let [rows, half] = check_rope(OP, &x, heads, cos, sin)?;
    let device = x.device().clone();
    let Device::Vulkan(vulkan) = &device else {
        return rope(rms_norm(&x, weight, eps, OutputType::Operand)?, heads, cos, sin);
    };
    x.unshare()?;
    let (width, all, lanes) = (x.shape().last(), x.shape().rows(), lanes(x.shape().last()));
    let f16 = x.is_f16();
    let read = x.clone();
    for own in runs_of(vulkan, all, rows, width) {
        let run = Dispatch::new(&vulkan::NORM_ROPE, &mut x).rows(&own).read_rows(&read, &own);
        let run = run.read(weight).read(cos).read(sin).sizes(&[own.len(), width, half, rows]).scalars(&[eps]);
        let run = run.size_constant(LOCAL_SIZE, LOCAL).size_constant(row::LANES, lanes);
        let run = run.constant(norm_rope::X_HALVES, f16).constant(norm_rope::OUT_HALVES, f16);
        run.groups(own.len().div_ceil(LOCAL / lanes)).run(vulkan, Work::moved(2 * own.len() * width))?;
    }
    drop(read);
    finished(x)
}

/// Invocations that share a row.
fn lanes(width: usize) -> usize {
    (width / 16).next_power_of_two().clamp(1, LOCAL)
}

/// The numbers by which the shader knows the norms.
const LAYER_NORM: u32 = 0;
const RMS_NORM: u32 = 1;
const CHANNEL_NORM: u32 = 2;

/// Dispatches the shader, with as many invocations on a row as its width is worth.
fn run(
    vulkan: &Vulkan,
    (kind, activation): (u32, Activation),
    x: &Tensor,
    out: &mut Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f32,
) -> Result<()> {
    let width = x.shape().last();
    let lanes = lanes(width);
    let [x_f16, out_f16] = [x, &*out].map(Tensor::is_f16);
    let affine = u32::from(weight.is_some()) + u32::from(bias.is_some());
    for rows in vulkan.parts(x.shape().rows(), width) {
        let run = Dispatch::new(&vulkan::NORM, out).rows(&rows).read_rows(x, &rows).maybe(weight).maybe(bias);
        let run = run.sizes(&[rows.len(), width]).scalars(&[eps]).groups(rows.len().div_ceil(LOCAL / lanes));
        let run = run
            .size_constant(LOCAL_SIZE, LOCAL)
            .size_constant(row::LANES, lanes)
            .constant(constants::KIND, kind)
            .constant(constants::AFFINE, affine);
        let run = run.constant(constants::ACTIVATION, activation_constant(activation));
        let run = run.constant(constants::X_HALVES, x_f16).constant(constants::OUT_HALVES, out_f16);
        run.run(vulkan, Work::moved(2 * rows.len() * width))?;
    }
    Ok(())
}
