use zoetrope_kernels::{self as kernels, Activation};

use super::{check, check_row_vector, finished};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::work::Work;

/// `x / sqrt(mean(x²) + eps) * weight` over the last axis.
///
/// `x` `[.., D]`, `weight` `D` values. Zhang and Sennrich, arXiv 1910.07467.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if `weight` does not have `D` values.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    check_row_vector("rms_norm", x, weight)?;
    let mut out = Tensor::uninit(x.device(), x.shape())?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::rms_norm(exec, x.data(), weight.data(), eps, out)
        }),
    }
    finished(out)
}

/// `(x - mean) / sqrt(variance + eps)` over the last axis, then `* weight + bias` if there is an affine part.
///
/// `x` `[.., D]`, `affine` weight and bias of `D` values; the variance is the biased one. Ba et al., arXiv 1607.06450.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the affine part does not have `D` values.
pub fn layer_norm(x: &Tensor, affine: Option<(&Tensor, &Tensor)>, eps: f32) -> Result<Tensor> {
    let width = x.shape().last();
    check(x.shape().rank() >= 1 && width > 0, "layer_norm", x.shape(), [width], "a last axis that is not empty")?;
    if let Some((weight, bias)) = affine {
        check_row_vector("layer_norm", x, weight)?;
        check_row_vector("layer_norm", x, bias)?;
    }
    let mut out = Tensor::uninit(x.device(), x.shape())?;
    match x.device() {
        Device::Cpu(cpu) => {
            let affine = affine.map(|(weight, bias)| (weight.data(), bias.data()));
            cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
                kernels::layer_norm(exec, x.data(), width, affine, eps, out)
            });
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
pub fn channel_norm(x: &Tensor, gamma: &Tensor, activation: Activation) -> Result<Tensor> {
    check_row_vector("channel_norm", x, gamma)?;
    let mut out = Tensor::uninit(x.device(), x.shape())?;
    match x.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * x.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::channel_norm(exec, x.data(), gamma.data(), activation, out)
        }),
    }
    finished(out)
}
