use zoetrope_kernels as kernels;

use super::checks::{check, finished};
use crate::device::Device;
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::weights::Weight;

/// The rows of `table` that `ids` name.
///
/// `table` `[vocab, D]` in any storage type, result `[ids, D]`.
///
/// # Errors
/// [`Shape`](crate::Error::Shape) if the table is not a matrix or an id lies outside it.
pub fn embedding(device: &Device, table: &Weight, ids: &[u32]) -> Result<Tensor> {
    let matrix = table.shape().rank() == 2 && table.shape().last() > 0;
    check(matrix, "embedding", table.shape(), [ids.len()], "the table is [vocab, D], D not zero")?;
    let (vocabulary, width) = (table.shape().dims()[0], table.shape().last());
    if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
        check(false, "embedding", table.shape(), [id as usize], "ids lie within the vocabulary")?;
    }
    let mut out = Tensor::uninit(device, [ids.len(), width])?;
    match device {
        Device::Cpu(cpu) => cpu.run(Work::moved(2 * out.shape().numel()), out.data_mut()?, |exec, out| {
            kernels::embedding(exec, table.stored(), width, ids, out)
        }),
        // The table is larger than many a device binds, or holds, and few of its rows are read.
        Device::Vulkan(vulkan) => {
            let mut rows = vec![0.0; ids.len() * width];
            for (row, &id) in rows.chunks_exact_mut(width).zip(ids) {
                let first = id as usize * width;
                table.stored().widen(first..first + width, row);
            }
            vulkan.upload(out.on(vulkan)?.0, 0, &rows)?;
        }
    }
    finished(out)
}
