use zoetrope_kernels::{self as kernels, Activation};

use super::{check, finished};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::weights::Weight;
use crate::work::Work;

/// `activation(x wᵀ + bias)`: a fully connected layer, also a 1x1x1 convolution on channels-last data.
///
/// `x` `[.., K]`, `w` `[N, K]` in any storage type, `bias` `N` values, result `[.., N]`. Accumulates in F32.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) naming the operands that do not fit.
pub fn linear(x: &Tensor, w: &Weight, bias: Option<&Tensor>, activation: Activation) -> Result<Tensor> {
    let fits = w.shape().rank() == 2 && x.shape().rank() >= 1 && w.shape().last() == x.shape().last();
    check(fits, "linear", x.shape(), w.shape(), "x is [.., K] and the weight [N, K]")?;
    let (n, k) = (w.shape().dims()[0], w.shape().last());
    if let Some(bias) = bias {
        check(bias.shape().numel() == n, "linear", w.shape(), bias.shape(), "one bias for each row of the weight")?;
    }
    let mut out = Tensor::uninit(x.device(), x.shape().with_last(n))?;
    match x.device() {
        Device::Cpu(cpu) => {
            let (rows, bias) = (x.shape().rows(), bias.map(Tensor::data));
            cpu.run(Work::linear(rows, k, n), out.data_mut()?, |exec, out| {
                kernels::linear(exec, x.data(), w.stored(), rows, k, n, bias, activation, out)
            });
        }
    }
    finished(out)
}
