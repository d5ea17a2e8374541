use std::sync::atomic::{AtomicU64, Ordering};

use zoetrope_kernels as kernels;

use super::checks::finished;
use super::dispatch::{Dispatch, LOCAL};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::vulkan;
use crate::vulkan::constants::LOCAL_SIZE;

/// Workgroups that keep the largest GPU busy.
const GROUPS: usize = 4096;
/// Operations of an invocation in a round.
const EACH: usize = 512;
/// Subgroups of a workgroup that multiplies cooperative matrices, and products of each in a round.
const SUBGROUPS: usize = 4;
const PRODUCTS: usize = 32;

/// What [`multiply_add`] computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Numbers of F32.
    F32,
    /// Pairs of numbers of F16.
    F16,
    /// Cooperative matrices of F16 with sums of F32.
    CooperativeMatrix,
}

/// Multiplies and adds in registers and tells how many operations that were: on every thread of the caller's rayon pool,
/// or all over a GPU, which is not waited for. `None` where a device does not compute so.
///
/// # Errors
/// Those of all ops.
pub fn multiply_add(device: &Device, arithmetic: Arithmetic, rounds: usize) -> Result<Option<u64>> {
    match device {
        Device::Cpu(cpu) => {
            if arithmetic != Arithmetic::F32 {
                return Ok(None);
            }
            let done = AtomicU64::new(0);
            cpu.run(Work::default(), &mut [], |exec, _| {
                rayon::broadcast(|_| done.fetch_add(kernels::probe(exec, rounds), Ordering::Relaxed));
            });
            device.check()?;
            Ok(Some(done.into_inner()))
        }
        Device::Vulkan(vulkan) => {
            // Numbers of the result, operations of a workgroup in a round, and invocations of it.
            let (shader, numbers, flop, local) = match (arithmetic, vulkan.cooperative()) {
                (Arithmetic::F32, _) => (&vulkan::PROBE, LOCAL, EACH * LOCAL, LOCAL as u32),
                (Arithmetic::F16, _) if vulkan.info().f16 => (&vulkan::PROBE_HALVES, LOCAL, EACH * LOCAL, LOCAL as u32),
                (Arithmetic::CooperativeMatrix, Some(matrix)) => {
                    let [m, n, k] = matrix.shape.map(|side| side as usize);
                    (
                        &vulkan::PROBE_COOPERATIVE,
                        SUBGROUPS * m * n,
                        2 * PRODUCTS * SUBGROUPS * m * n * k,
                        SUBGROUPS as u32 * matrix.subgroup,
                    )
                }
                _ => return Ok(None),
            };
            let mut out = Tensor::uninit(device, [GROUPS * numbers])?;
            let flop = (GROUPS * flop) as u64 * rounds as u64;
            let run = Dispatch::new(shader, &mut out).sizes(&[rounds]).constant(LOCAL_SIZE, local).groups(GROUPS);
            let run = vulkan.cooperative().into_iter().fold(run, Dispatch::cooperative);
            run.run(vulkan, Work { linear: flop, ..Work::default() })?;
            finished(out)?;
            Ok(Some(flop))
        }
    }
}
