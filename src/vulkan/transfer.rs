//! Numbers to the device, back, and from place to place on it.

use std::ops::Range;

use super::memory::Block;
use super::staging::{self, CHUNK};
use super::state::{Line, NUMBER, Vulkan};
use super::stream::Command;
use crate::device::work::Work;
use crate::error::Result;

impl Vulkan {
    /// Copies numbers to a buffer, from its element `start` on.
    pub(crate) fn upload(&self, to: &Block, start: usize, values: &[f32]) -> Result<()> {
        self.upload_bytes(to, (start * NUMBER) as u64, bytemuck::cast_slice(values))
    }

    pub(super) fn upload_bytes(&self, to: &Block, start: u64, bytes: &[u8]) -> Result<()> {
        for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
            let mut line = self.line();
            let Line { stream, staging, .. } = &mut *line;
            let staged = loop {
                if let Some(staged) = staging.upload(chunk.len(), stream.next(), stream.done())? {
                    break staged;
                }
                stream.flush()?;
                stream.wait_for_oldest()?;
            };
            staging::write(&staged, chunk)?;
            stream.order(&[(to, true)]);
            let start = start + (i * CHUNK) as u64;
            let to = to.buffer.clone().slice(start..start + chunk.len() as u64);
            stream.push(Command::Copy { from: staged, to }, chunk.len() as u64)?;
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
            let staged = staging.download(bytes)?;
            stream.order(&[(from, false)]);
            let start = (start * NUMBER + i * CHUNK) as u64;
            let from = from.buffer.clone().slice(start..start + bytes as u64);
            stream.push(Command::Copy { from, to: staged.clone() }, bytes as u64)?;
            stream.push(Command::ToHost, 0)?;
            stream.wait()?;
            staging::read(&staged, chunk)?;
        }
        Ok(values)
    }

    /// Copies words of one buffer to as many of another.
    pub(crate) fn copy(&self, from: (&Block, Range<usize>), to: (&Block, Range<usize>), work: Work) -> Result<()> {
        self.count(work);
        debug_assert_eq!(from.1.len(), to.1.len());
        if from.1.is_empty() {
            return Ok(());
        }
        let mut line = self.line();
        line.stream.order(&[(from.0, false), (to.0, true)]);
        let part = |(block, words): (&Block, Range<usize>)| {
            block.buffer.clone().slice((words.start * NUMBER) as u64..(words.end * NUMBER) as u64)
        };
        line.stream.push(Command::Copy { from: part(from), to: part(to) }, work.moved)
    }

    /// Makes the first `len` numbers of a buffer zeros.
    pub(crate) fn fill_zero(&self, block: &Block, len: usize, work: Work) -> Result<()> {
        self.count(work);
        if len == 0 {
            return Ok(());
        }
        let mut line = self.line();
        line.stream.order(&[(block, true)]);
        let whole = block.buffer.clone().slice(0..(len * NUMBER) as u64);
        line.stream.push(Command::Zero(whole), work.moved)
    }
}
