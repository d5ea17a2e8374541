//! A dispatch of a shader on buffers and weights.

#![cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nothing is dispatched"))]

use std::ops::Range;

#[cfg(not(feature = "vulkan"))]
use super::absent::Block;
use super::layout::GpuLayout;
#[cfg(feature = "vulkan")]
use super::memory::Block;
use super::shaders::Shader;
use crate::weights::storage::Storage;
use crate::weights::weight::Weight;

/// Part of a buffer as a shader's binding has it.
#[derive(Clone)]
pub(crate) struct BufferPart<'a> {
    pub block: &'a Block,
    /// Bytes of the buffer.
    pub bytes: Range<u64>,
    /// Bytes of one element, in which the shader counts: a number, or a block of a weight.
    pub element: u64,
}

impl<'a> BufferPart<'a> {
    /// So many elements of a buffer from `first` on, in whole words.
    pub fn of((block, first): (&'a Block, usize), count: usize, storage: Storage) -> Self {
        let [start, end] = [first, first + count].map(|values| storage.bytes_of(values) as u64);
        Self { block, bytes: start..end.next_multiple_of(4), element: storage.block_bytes() as u64 }
    }
}

/// What a binding of a shader reads.
pub(crate) enum Input<'a> {
    /// Part of a buffer that holds a tensor.
    Buffer(BufferPart<'a>),
    /// Some elements of a weight in this layout; it is uploaded if it is not on the device yet.
    Weight(&'a Weight, GpuLayout, Range<usize>),
    /// An optional input that is absent: the shader does not read it.
    Nothing,
}

/// The parameters of a dispatch, and what it costs.
pub(crate) struct DispatchParams<'a> {
    /// Specialization constants by their ids.
    pub constants: &'a [(u32, u32)],
    pub sizes: &'a [u32],
    pub scalars: &'a [f32],
    /// Workgroups.
    pub groups: usize,
}

/// One dispatch of a shader: what it writes, reads and gets as parameters.
pub(crate) struct BufferDispatch<'a> {
    pub shader: &'static Shader,
    pub params: DispatchParams<'a>,
    /// Binding 0, which is written.
    pub out: BufferPart<'a>,
    /// Whether what is written is read before.
    pub in_place: bool,
    /// Bindings 1 and following.
    pub inputs: &'a [Input<'a>],
}
