use std::sync::atomic::{AtomicU64, Ordering};

use zoetrope_kernels as kernels;

use super::{LOCAL, finished};
use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan::{self, Dispatch};
use crate::work::Work;

/// Workgroups that keep the largest GPU busy.
const GROUPS: usize = 4096;
/// Operations of an invocation in a round.
const EACH: usize = 512;

/// Multiplies and adds in registers and tells how many operations that were: on every thread of the caller's rayon pool,
/// or all over a GPU, which is not waited for.
///
/// # Errors
/// Those of all ops.
pub(crate) fn multiply_add(device: &Device, rounds: usize) -> Result<u64> {
    match device {
        Device::Cpu(cpu) => {
            let done = AtomicU64::new(0);
            cpu.run(Work::default(), &mut [], |exec, _| {
                rayon::broadcast(|_| done.fetch_add(kernels::probe(exec, rounds), Ordering::Relaxed));
            });
            device.check()?;
            Ok(done.into_inner())
        }
        Device::Vulkan(vulkan) => {
            let mut out = Tensor::uninit(device, [GROUPS * LOCAL])?;
            let flop = (GROUPS * LOCAL * EACH) as u64 * rounds as u64;
            let run = Dispatch::new(&vulkan::PROBE, &mut out).sizes(&[rounds]).constant(0, LOCAL as u32).groups(GROUPS);
            vulkan.run(Work { linear: flop, ..Work::default() }, run)?;
            finished(out)?;
            Ok(flop)
        }
    }
}
