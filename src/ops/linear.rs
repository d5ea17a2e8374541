use zoetrope_kernels::{self as kernels, Activation};

use super::activation::activation_constant;
use super::checks::{check, check_place, check_row_vector, finished};
use super::dispatch::{Dispatch, LOCAL};
use crate::device::Device;
use crate::device::tuning::Class;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::{OutputType, Tensor};
use crate::vulkan::constants::{LOCAL_SIZE, linear as constants};
use crate::vulkan::{self, Vulkan};
use crate::weights::Weight;

/// `activation(x wᵀ + bias)`: a fully connected layer, also a 1x1x1 convolution on channels-last data.
///
/// `x` `[.., K]`, `w` `[N, K]` in any storage type, `bias` `N` values, result `[.., N]`. Accumulates in F32.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) naming the operands that do not fit.
pub fn linear(
    x: &Tensor,
    w: &Weight,
    bias: Option<&Tensor>,
    activation: Activation,
    output: OutputType,
) -> Result<Tensor> {
    let [n, k] = fitting("linear", x, w, bias)?;
    let mut out = Tensor::uninit_as(x.device(), x.shape().with_last(n), output)?;
    match x.device() {
        Device::Cpu(cpu) => {
            let (rows, bias) = (x.shape().rows(), bias.map(Tensor::data));
            cpu.run(Work::linear(rows, k, n), out.data_mut()?, |exec, out| {
                kernels::linear(exec, x.data(), w.stored(), rows, k, n, bias, activation, out)
            });
        }
        Device::Vulkan(vulkan) => run(vulkan, x, w, bias, activation, &mut out, None)?,
    }
    finished(out)
}

/// `x + gate (h wᵀ + bias)`: a fully connected layer as a residual branch, in place if `x` is not shared.
///
/// `x` `[.., N]` of which rows `first..` are added to, one for each row of `h` `[.., K]`; `w` `[N, K]` in any storage type,
/// `bias` and `gate` `N` values. Accumulates in F32 on top of `x`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) naming the operands that do not fit.
pub fn linear_add(
    mut x: Tensor,
    first: usize,
    h: &Tensor,
    w: &Weight,
    bias: Option<&Tensor>,
    gate: Option<&Tensor>,
) -> Result<Tensor> {
    const OP: &str = "linear_add";
    let [n, k] = fitting(OP, h, w, bias)?;
    if let Some(gate) = gate {
        check_row_vector(OP, &x, gate)?;
    }
    let rows = h.shape().rows();
    let inside = x.shape().last() == n && first.saturating_add(rows) <= x.shape().rows();
    check(inside, OP, x.shape(), h.shape(), "x is [.., N] and has a row for each of h's")?;
    check_place(&x, h)?;
    let device = x.device().clone();
    match &device {
        Device::Cpu(cpu) => {
            let (bias, gate) = (bias.map(Tensor::data), gate.map(Tensor::data));
            cpu.run(Work::linear(rows, k, n), x.data_mut()?, |exec, x| {
                let own = &mut x[first * n..][..rows * n];
                kernels::linear_add(exec, h.data(), w.stored(), rows, k, n, bias, gate, own)
            });
        }
        Device::Vulkan(vulkan) => {
            x.unshare()?;
            run(vulkan, h, w, bias, Activation::None, &mut x, Some((first, gate)))?;
        }
    }
    finished(x)
}

/// `[N, K]` of a layer that fits its input.
fn fitting(op: &'static str, x: &Tensor, w: &Weight, bias: Option<&Tensor>) -> Result<[usize; 2]> {
    let fits = w.shape().rank() == 2 && x.shape().rank() >= 1 && w.shape().last() == x.shape().last();
    check(fits, op, x.shape(), w.shape(), "x is [.., K] and the weight [N, K]")?;
    let (n, k) = (w.shape().dims()[0], w.shape().last());
    if let Some(bias) = bias {
        check(bias.shape().numel() == n, op, w.shape(), bias.shape(), "one bias for each row of the weight")?;
        check_place(x, bias)?;
    }
    Ok([n, k])
}

/// Rows that are so few that reading the weight is all the work.
const FEW: usize = 4;

/// Dispatches a shader; with `residual`, the first row that is added to and a gate, on top of `out`.
fn run(
    vulkan: &Vulkan,
    x: &Tensor,
    w: &Weight,
    bias: Option<&Tensor>,
    activation: Activation,
    out: &mut Tensor,
    residual: Option<(usize, Option<&Tensor>)>,
) -> Result<()> {
    let (n, k) = (w.shape().dims()[0], w.shape().last());
    let (first, gate) = residual.unwrap_or((0, None));
    if n == 0 {
        return Ok(());
    }
    let layout = vulkan.layout(w);
    let row_bytes = layout.storage.bytes_of(k);
    // A weight that does not fit one binding goes in parts of its rows, the columns of the result.
    for (rows, columns) in vulkan.parts(x.shape().rows(), k.max(n)).into_iter().flat_map(|rows| {
        let parts = vulkan.parts_of_weight(row_bytes, n);
        parts.into_iter().map(move |columns| (rows.clone(), columns))
    }) {
        let start = x.on(vulkan)?.1 + rows.start * k;
        let aligned = k.is_multiple_of(4) && start.is_multiple_of(4);
        let written = (first + rows.start) * n + columns.start..(first + rows.end) * n;
        let [x_f16, out_f16] = [x, &*out].map(Tensor::is_f16);
        let few = rows.len() <= FEW && !x_f16 && !out_f16;
        let fits = layout.cooperative && x_f16 && rows.len() > FEW && start.is_multiple_of(8);
        let matrix = vulkan.cooperative().filter(|_| fits);
        let shader = match matrix {
            _ if few => &vulkan::LINEAR_FEW,
            Some(_) => &vulkan::LINEAR_COOPERATIVE,
            None => &vulkan::LINEAR,
        };
        let run = Dispatch::new(shader, out).within(written);
        let run = run.read_rows(x, &rows).weight(w, layout, columns.start * k..columns.end * k);
        let run = run.maybe_part(bias, &columns).maybe_part(gate, &columns).sizes(&[rows.len(), k, columns.len(), n]);
        let run = if few {
            run.size_constant(LOCAL_SIZE, LOCAL)
                .size_constant(constants::ROWS, rows.len())
                .groups(columns.len().div_ceil(4))
        } else if let Some(matrix) = matrix {
            let class = Class::linear_cooperative(rows.len());
            run.tiled(vulkan, class, rows.len(), columns.len()).cooperative(matrix)
        } else {
            run.tiled(vulkan, Class::linear(rows.len(), columns.len()), rows.len(), columns.len())
        };
        let run =
            run.constant(constants::WEIGHT, layout.storage.shader_constant()).constant(constants::ALIGNED, aligned);
        let run = run
            .constant(constants::BIAS, bias.is_some())
            .constant(constants::ACTIVATION, activation_constant(activation));
        let run = run.constant(constants::RESIDUAL, residual.is_some()).constant(constants::GATE, gate.is_some());
        let run = run.constant(constants::X_HALVES, x_f16).constant(constants::OUT_HALVES, out_f16);
        let run = if residual.is_some() { run.in_place() } else { run };
        run.run(vulkan, Work::linear(rows.len(), k, columns.len()))?;
    }
    Ok(())
}
