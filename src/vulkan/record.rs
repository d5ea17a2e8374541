//! Recording: dispatches on parts of buffers go into the stream.

use std::ops::Range;

use smallvec::SmallVec;
use vulkano::buffer::Subbuffer;

use super::copies::WeightCopy;
use super::dispatch::{BufferPart, DispatchParams};
use super::memory::Block;
use super::open::fault;
use super::shaders::Shader;
use super::state::{Limits, Line, Vulkan};
use super::stream::{Command, Launch, Push};
use crate::error::{DeviceFault, Result};

/// The most workgroups along one axis that every device takes.
const GROUPS: usize = 65535;

impl Vulkan {
    /// Records a dispatch on parts of buffers, of which the shader writes the first, and notes that it uses some weights.
    /// `cost` is in FLOP and bytes: a dispatch above what one submission may cost is split.
    pub(super) fn record(
        &self,
        shader: &'static Shader,
        params: &DispatchParams,
        cost: u64,
        parts: &[BufferPart],
        copies: &[&WeightCopy],
    ) -> Result<()> {
        let &DispatchParams { constants, sizes, scalars, groups } = params;
        let (mut buffers, mut words): (SmallVec<[_; 8]>, SmallVec<[u32; 32]>) = Default::default();
        for part in parts {
            let (buffer, offset) = self.bind(part, shader.name)?;
            buffers.push(buffer);
            words.push(offset);
        }
        words.extend_from_slice(sizes);
        let first_group = words.len();
        words.push(0);
        words.extend(scalars.iter().map(|scalar| scalar.to_bits()));
        let mut push = Push::default();
        push[..words.len()].copy_from_slice(&words);

        let mut line = self.line();
        let Line { stream, pipelines, .. } = &mut *line;
        let pipeline = pipelines.get(shader, constants)?;
        let uses: SmallVec<[(&Block, bool); 8]> =
            parts.iter().enumerate().map(|(i, part)| (part.block, i == 0)).collect();
        stream.order(&uses);
        let slices = slices(groups, cost.div_ceil(stream.most()));
        let each = cost / slices.len() as u64;
        for (first, [x, y]) in slices {
            push[first_group] = first as u32;
            copies.iter().for_each(|copy| copy.mark(stream.next()));
            let (pipeline, buffers, groups) = (pipeline.clone(), buffers.clone(), [x as u32, y as u32, 1]);
            stream.push(Command::Dispatch(Box::new(Launch { pipeline, buffers, push, groups })), each)?;
        }
        Ok(())
    }

    /// A buffer as it is bound, and the element in it at which the shader begins.
    fn bind(&self, part: &BufferPart, shader: &str) -> Result<(Subbuffer<[u8]>, u32)> {
        let Limits { alignment, range, .. } = self.0.limits;
        let Range { start, end } = part.bytes;
        let aligned = start - start % alignment;
        // An empty part still is bound to something.
        let end = end.max(aligned + 4).min(part.block.buffer.size());
        if end - aligned > range {
            let why = format!(
                "{shader} takes {} MB of one buffer, {} binds {} MB; a smaller size or --device cpu may do",
                (end - aligned) >> 20,
                self.0.info.name,
                range >> 20
            );
            return Err(fault(DeviceFault::Unusable, why));
        }
        Ok((part.block.buffer.clone().slice(aligned..end), ((start - aligned) / part.element) as u32))
    }
}

/// Workgroups in about so many slices: the first of each, and how they are spread over two axes.
///
/// What is spread over lines of [`GROUPS`] begins with the next slice's groups where its last line is not full. They
/// would run twice, which is wrong where they add: only the last slice, beyond which there is nothing, may have that.
fn slices(groups: usize, count: u64) -> Vec<(usize, [usize; 2])> {
    let count = count.clamp(1, groups as u64) as usize;
    let each = match groups.div_ceil(count) {
        each if each <= GROUPS => each,
        each => each.next_multiple_of(GROUPS).min(GROUPS * GROUPS),
    };
    let slice = |first: usize| {
        let own = each.min(groups - first);
        let x = own.min(GROUPS);
        (first, [x, own.div_ceil(x)])
    };
    (0..groups).step_by(each).map(slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_every_group_once() {
        for groups in [1, 2, 100, 65_535, 65_536, 131_070, 1_000_000, 70_000_000] {
            for count in [1, 2, 3, 7, 64, 1_000] {
                let slices = slices(groups, count);
                let mut next = 0;
                for (i, &(first, [x, y])) in slices.iter().enumerate() {
                    assert!(first == next && x <= GROUPS && y <= GROUPS, "{groups} in {count}");
                    next = first + x * y;
                    assert!(i + 1 == slices.len() || next <= groups, "{groups} in {count}");
                }
                assert!((groups..groups + GROUPS).contains(&next), "{groups} in {count}");
            }
        }
    }
}
