use zoetrope_kernels::{self as kernels, Activation};

use super::activation::activation_constant;
use super::rope::{check_rope, rope, runs_of};
use super::{LOCAL, check, check_row_vector, finished};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::{OutputType, Tensor};
use crate::vulkan::{self, Dispatch, Vulkan};

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

/// [`rope`] of [`rms_norm`]: what queries and keys go through. In place if `x` is not shared, and kept as `x` is.
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
    let halves = u32::from(x.is_half());
    let read = x.clone();
    for own in runs_of(vulkan, all, rows, width) {
        let run = Dispatch::new(&vulkan::NORM_ROPE, &mut x).rows(&own).read_rows(&read, &own);
        let run = run.read(weight).read(cos).read(sin).sizes(&[own.len(), width, half, rows]).scalars(&[eps]);
        let run = run.constant(0, LOCAL as u32).constant(1, lanes as u32).constant(2, halves).constant(3, halves);
        vulkan.run(Work::moved(2 * own.len() * width), run.groups(own.len().div_ceil(LOCAL / lanes)))?;
    }
    drop(read);
    finished(x)
}

/// Invocations that share a row.
fn lanes(width: usize) -> usize {
    (width / 16).next_power_of_two().clamp(1, LOCAL)
}

/// What the shader calls the norms.
const LAYER_NORM: u32 = 0;
const RMS_NORM: u32 = 1;
const CHANNEL_NORM: u32 = 2;

/// Has the shader run, with as many invocations on a row as its width is worth.
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
    let halves = [x, &*out].map(|tensor| u32::from(tensor.is_half()));
    let affine = u32::from(weight.is_some()) + u32::from(bias.is_some());
    for rows in vulkan.parts(x.shape().rows(), width) {
        let run = Dispatch::new(&vulkan::NORM, out).rows(&rows).read_rows(x, &rows).maybe(weight).maybe(bias);
        let run = run.sizes(&[rows.len(), width]).scalars(&[eps]).groups(rows.len().div_ceil(LOCAL / lanes));
        let run = run.constant(0, LOCAL as u32).constant(1, lanes as u32).constant(2, kind).constant(3, affine);
        let run = run.constant(4, activation_constant(activation)).constant(5, halves[0]).constant(6, halves[1]);
        vulkan.run(Work::moved(2 * rows.len() * width), run)?;
    }
    Ok(())
}
