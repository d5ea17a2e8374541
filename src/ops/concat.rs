use zoetrope_kernels as kernels;

use super::checks::{check, check_place, finished};
use super::dispatch::copy;
use crate::device::{Device, Work};
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// The rows of all `parts`, one after the other: their leading axes are joined.
///
/// Parts `[L, ..]` of one dtype whose other axes are equal; the result is `[sum of L, ..]` of that dtype.
///
/// # Errors
/// [`Error::Shape`] if there is no part, or they differ in more than the length of the leading axis.
pub fn concat(parts: &[&Tensor]) -> Result<Tensor> {
    const OP: &str = "concat";
    let Some((first, rest)) = parts.split_first() else {
        let none = [0].into();
        return Err(Error::Shape { op: OP, left: none, right: none, why: "at least one part" });
    };
    check(first.shape().rank() > 0, OP, first.shape(), first.shape(), "parts have rows")?;
    for part in rest {
        let fits = part.shape().rank() == first.shape().rank()
            && part.dims()[1..] == first.dims()[1..]
            && part.dtype() == first.dtype();
        check(fits, OP, first.shape(), part.shape(), "rows of one shape and type")?;
        check_place(first, part)?;
    }
    let mut dims = first.dims().to_vec();
    dims[0] = parts.iter().map(|part| part.dims()[0]).sum();
    let mut out = first.uninit_like(dims.as_slice())?;
    match first.device() {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * out.shape().numel()), out.data_mut()?, |exec, mut out| {
            for part in parts {
                let (head, tail) = out.split_at_mut(part.shape().numel());
                kernels::copy(exec, part.data(), head);
                out = tail;
            }
        }),
        Device::Vulkan(vulkan) => {
            let mut start = 0;
            for part in parts {
                let len = part.shape().numel();
                copy(vulkan, (part, 0..len), (&out, start..start + len), Work::moved(2 * len))?;
                start += len;
            }
        }
    }
    finished(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_the_parts() {
        let device = Device::cpu().unwrap();
        let x = Tensor::from_slice(&device, [3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let (head, tail) = (x.narrow(0..1).unwrap(), x.narrow(1..3).unwrap());
        assert_eq!(concat(&[&tail, &head]).unwrap().to_vec().unwrap(), [2.0, 3.0, 4.0, 5.0, 0.0, 1.0]);
        assert_eq!(concat(&[&x]).unwrap().dims(), [3, 2]);
        let wide = Tensor::zeros(&device, [1, 3]).unwrap();
        assert!(concat(&[&x, &wide]).is_err() && concat(&[]).is_err());
    }
}
