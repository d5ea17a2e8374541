//! Numbers to the device, back, and from place to place on it.

use std::ops::Range;

use super::Block;
use super::handle::{Line, NUMBER, Vulkan};
use super::staging::{self, CHUNK};
use super::stream::{Command, Stream};
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::Tensor;

impl Vulkan {
    /// Copies numbers to a buffer, from its element `start` on.
    pub(crate) fn upload(&self, to: &Block, start: usize, values: &[f32]) -> Result<()> {
        self.upload_bytes(to, (start * NUMBER) as u64, bytemuck::cast_slice(values))
    }

    pub(super) fn upload_bytes(&self, to: &Block, start: u64, bytes: &[u8]) -> Result<()> {
        for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
            let mut line = self.line();
            let Line { stream, staging, .. } = &mut *line;
            let room = loop {
                if let Some(room) = staging.room(chunk.len(), stream.next(), stream.done())? {
                    break room;
                }
                stream.flush()?;
                stream.wait_for_oldest()?;
            };
            staging::write(&room, chunk)?;
            order(stream, &[(to, true)]);
            let start = start + (i * CHUNK) as u64;
            let to = to.buffer.clone().slice(start..start + chunk.len() as u64);
            stream.push(Command::Copy { from: room, to }, chunk.len() as u64)?;
        }
        Ok(())
    }

    /// Waits for a buffer's elements from `start` on.
    pub(crate) fn download(&self, from: &Block, start: usize, len: usize) -> Result<Vec<f32>> {
        let mut values = vec![0.0; len];
        for (i, chunk) in values.chunks_mut(CHUNK / NUMBER).enumerate() {
            let mut line = self.line();
            let Line { stream, staging, .. } = &mut *line;
            let bytes = size_of_val(chunk);
            let room = staging.download(bytes)?;
            order(stream, &[(from, false)]);
            let start = (start * NUMBER + i * CHUNK) as u64;
            let from = from.buffer.clone().slice(start..start + bytes as u64);
            stream.push(Command::Copy { from, to: room.clone() }, bytes as u64)?;
            stream.push(Command::ToHost, 0)?;
            stream.wait()?;
            staging::read(&room, chunk)?;
        }
        Ok(values)
    }

    /// Copies elements of one tensor to as many of another one of the same type.
    pub(crate) fn copy(&self, from: (&Tensor, Range<usize>), to: (&Tensor, Range<usize>), work: Work) -> Result<()> {
        self.count(work);
        debug_assert_eq!((from.0.dtype(), from.1.len()), (to.0.dtype(), to.1.len()));
        if from.1.is_empty() {
            return Ok(());
        }
        let ((source, _), (sink, _)) = (from.0.on(self)?, to.0.on(self)?);
        let mut line = self.line();
        order(&mut line.stream, &[(source, false), (sink, true)]);
        let part = |block: &Block, (tensor, elements): (&Tensor, Range<usize>)| {
            let words = tensor.words(elements);
            block.buffer.clone().slice((words.start * NUMBER) as u64..(words.end * NUMBER) as u64)
        };
        line.stream.push(Command::Copy { from: part(source, from), to: part(sink, to) }, work.moved)
    }

    /// Makes the first `len` numbers of a buffer zeros.
    pub(crate) fn fill_zero(&self, block: &Block, len: usize, work: Work) -> Result<()> {
        self.count(work);
        if len == 0 {
            return Ok(());
        }
        let mut line = self.line();
        order(&mut line.stream, &[(block, true)]);
        let whole = block.buffer.clone().slice(0..(len * NUMBER) as u64);
        line.stream.push(Command::Zero(whole), work.moved)
    }
}

/// Puts a barrier before uses of buffers, each with whether it writes, if one of them needs it.
pub(super) fn order(stream: &mut Stream, uses: &[(&Block, bool)]) {
    let now = stream.barrier();
    if uses.iter().any(|(block, writes)| block.hazard(now, *writes)) {
        stream.add_barrier();
    }
    let now = stream.barrier();
    uses.iter().for_each(|(block, writes)| block.mark(now, *writes));
}
