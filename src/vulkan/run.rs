//! Shaders on tensors and weights.

use std::ops::Range;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use vulkano::buffer::Subbuffer;

use super::handle::{Limits, Line, NUMBER, Vulkan};
use super::memory::Block;
use super::open::fault;
use super::residents::WeightCopy;
use super::stream::{Command, Launch, Push};
use super::transfer::order;
use super::{Bound, Dispatch, Shader};
use crate::device::work::Work;
use crate::error::{DeviceFault, Error, Result};
use crate::tensor::Tensor;
use crate::tensor::dtype::DType;
use crate::weights::storage::Storage;
use crate::weights::weight::Weight;

/// The most workgroups along one axis that every device takes.
const GROUPS: usize = 65535;

/// Part of a buffer as a shader sees it.
pub(super) struct Part<'a> {
    pub block: &'a Block,
    /// Bytes of the buffer.
    pub bytes: Range<u64>,
    /// Bytes of one element, in which the shader counts: a number, or a block of a weight.
    pub element: u64,
}

impl<'a> Part<'a> {
    /// So many elements of a buffer from one on, in whole words.
    pub fn of((block, first): (&'a Block, usize), count: usize, storage: Storage) -> Self {
        let [start, end] = [first, first + count].map(|values| storage.bytes_of(values) as u64);
        Self { block, bytes: start..end.next_multiple_of(4), element: storage.block_bytes() as u64 }
    }
}

/// What a shader is told, and what its run costs.
pub(super) struct Told<'a> {
    /// Specialization constants by their ids.
    pub constants: &'a [(u32, u32)],
    pub sizes: &'a [u32],
    pub scalars: &'a [f32],
    pub groups: usize,
    pub cost: u64,
}

impl Vulkan {
    /// Rows of so many numbers in parts that a shader can see at one time: as a rule all of them.
    pub(crate) fn parts(&self, rows: usize, width: usize) -> Vec<Range<usize>> {
        let Limits { alignment, range, .. } = self.0.limits;
        let most = ((range - alignment) / (width.max(1) * NUMBER) as u64).max(1) as usize;
        (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
    }

    /// Rows of a weight of so many in parts that a shader can see at one time, even ones but for the last.
    pub(crate) fn parts_of_weight(&self, weight: &Weight, rows: usize) -> Vec<Range<usize>> {
        let Limits { alignment, range, .. } = self.0.limits;
        let row = (self.kept(weight).storage.bytes_of(weight.shape().numel()) / rows.max(1)).max(1) as u64;
        let most = ((range - alignment) / row / 2 * 2).max(2) as usize;
        (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
    }

    /// Whether a shader can see so many bytes at one time, wherever they begin.
    pub(crate) fn sees(&self, bytes: usize) -> bool {
        bytes as u64 <= self.0.limits.range - self.0.limits.alignment
    }

    /// Has a shader run.
    pub(crate) fn run(&self, work: Work, dispatch: Dispatch) -> Result<()> {
        self.count(work);
        let Dispatch { shader, constants, out: (out, written), inputs, sizes, scalars, groups, in_place } = dispatch;
        debug_assert_eq!(inputs.len() + 1, shader.bindings as usize, "{}", shader.name);
        if groups == 0 {
            return Ok(());
        }
        let mut copies: SmallVec<[_; 4]> = SmallVec::new();
        for input in &inputs {
            copies.push(match input {
                Bound::Weight(weight, _) => Some(self.weight(weight)?),
                _ => None,
            });
        }
        let out = self.part(shader, out, written)?;
        let mut parts: SmallVec<[Part; 8]> = SmallVec::new();
        for (input, copy) in inputs.iter().zip(&copies) {
            parts.push(match (input, copy) {
                (Bound::Tensor(tensor, range), _) => self.part(shader, tensor, range.clone())?,
                (Bound::Weight(_, range), Some(copy)) => {
                    Part::of((&copy.block, range.start), range.len(), copy.storage)
                }
                // Any buffer will do.
                _ => Part { block: out.block, bytes: out.bytes.clone(), element: out.element },
            });
        }
        let size = |part: &Part| part.bytes.end - part.bytes.start;
        let read = inputs.iter().zip(&parts).filter(|(input, _)| matches!(input, Bound::Tensor(..)));
        let traffic = size(&out) * (1 + u64::from(in_place)) + read.map(|(_, part)| size(part)).sum::<u64>();
        self.0.traffic.fetch_add(traffic, Ordering::Relaxed);
        self.0.unit_runs.fetch_add(u64::from(shader.units), Ordering::Relaxed);
        parts.insert(0, out);
        let cost = work.flop().saturating_add(work.moved);
        let copies: SmallVec<[&WeightCopy; 4]> = copies.iter().flatten().map(|copy| &**copy).collect();
        let told = Told { constants: &constants, sizes: &sizes, scalars: &scalars, groups, cost };
        self.record(shader, &told, &parts, &copies)
    }

    /// Records a shader's run on parts of buffers, of which it writes the first, and notes that it uses some weights.
    pub(super) fn record(
        &self,
        shader: &'static Shader,
        told: &Told,
        parts: &[Part],
        copies: &[&WeightCopy],
    ) -> Result<()> {
        let &Told { constants, sizes, scalars, groups, cost } = told;
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
        order(stream, &uses);
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

    /// Elements of a tensor.
    fn part<'a>(&self, shader: &Shader, tensor: &'a Tensor, elements: Range<usize>) -> Result<Part<'a>> {
        if tensor.dtype() != DType::F32 && !shader.halves {
            let shape = tensor.shape();
            let why = "F32; what was kept as an operand is for products, attention, convolutions and norms";
            return Err(Error::Shape { op: shader.name, left: shape, right: shape, why });
        }
        let (block, start) = tensor.on(self)?;
        let element = tensor.dtype().size() as u64;
        let bytes = (start + elements.start) as u64 * element..(start + elements.end) as u64 * element;
        Ok(Part { block, bytes, element })
    }

    /// A buffer as it is bound, and the element in it that the shader begins at.
    fn bind(&self, part: &Part, shader: &str) -> Result<(Subbuffer<[u8]>, u32)> {
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
