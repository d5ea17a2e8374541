//! Memory between the processor and the device.

use std::sync::Arc;

use vulkano::buffer::Subbuffer;

use super::memory::{Memory, Role};
use super::open::fault;
use crate::error::{DeviceFault, Result};

/// The most bytes that go at one time.
pub(super) const CHUNK: usize = 8 << 20;
/// The most bytes that are on the way before somebody waits.
const MOST: u64 = 64 << 20;
/// Uploads start at multiples of this.
const ALIGN: u64 = 64;

/// A buffer on the way to the device.
struct Upload {
    buffer: Subbuffer<[u8]>,
    used: u64,
    /// The submission that reads it last.
    submission: u64,
}

/// The buffers of a stream that the processor writes and reads.
pub(super) struct Staging {
    memory: Arc<Memory>,
    uploads: Vec<Upload>,
    /// Which of them is being filled.
    filling: Option<usize>,
    download: Option<Subbuffer<[u8]>>,
}

impl Staging {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { memory, uploads: Vec::new(), filling: None, download: None }
    }

    /// Part of a staging buffer for `bytes`, at most [`CHUNK`], that `submission` is going to read and that no submission after `done`
    /// reads still; `None` if too much is on the way.
    pub fn upload(&mut self, bytes: usize, submission: u64, done: u64) -> Result<Option<Subbuffer<[u8]>>> {
        debug_assert!(bytes <= CHUNK);
        let size = (bytes as u64).next_multiple_of(ALIGN);
        let fits = |upload: &Upload| upload.used + size <= upload.buffer.size();
        let index = match self.filling.filter(|&index| fits(&self.uploads[index])) {
            Some(index) => index,
            None => {
                // The device has read what was in it.
                match self.uploads.iter().position(|upload| upload.submission <= done) {
                    Some(index) => {
                        self.uploads[index].used = 0;
                        index
                    }
                    None if self.uploads.len() as u64 * CHUNK as u64 >= MOST => return Ok(None),
                    None => {
                        let buffer = self.memory.buffer(CHUNK as u64, Role::Upload)?;
                        self.uploads.push(Upload { buffer, used: 0, submission });
                        self.uploads.len() - 1
                    }
                }
            }
        };
        self.filling = Some(index);
        let upload = &mut self.uploads[index];
        upload.submission = submission;
        let start = upload.used;
        upload.used += size;
        Ok(Some(upload.buffer.clone().slice(start..start + bytes as u64)))
    }

    /// A buffer of `bytes`, at most [`CHUNK`], for the way back; one at a time.
    pub fn download(&mut self, bytes: usize) -> Result<Subbuffer<[u8]>> {
        debug_assert!(bytes <= CHUNK);
        let buffer = match &self.download {
            Some(buffer) if buffer.size() >= bytes as u64 => buffer.clone(),
            _ => {
                let size = bytes.next_power_of_two().clamp(64 << 10, CHUNK);
                self.download.insert(self.memory.buffer(size as u64, Role::Download)?).clone()
            }
        };
        Ok(buffer.slice(0..bytes as u64))
    }

    /// Gives its memory back to the system, but for what the device reads still.
    pub fn release(&mut self, done: u64) {
        self.uploads.retain(|upload| upload.submission > done);
        self.filling = None;
        self.download = None;
    }
}

/// Writes into a buffer that the device does not use now.
pub(super) fn write(buffer: &Subbuffer<[u8]>, bytes: &[u8]) -> Result<()> {
    let mut staged =
        buffer.write().map_err(|error| fault(DeviceFault::Driver, format!("cannot write staging: {error}")))?;
    staged[..bytes.len()].copy_from_slice(bytes);
    Ok(())
}

/// Reads from a buffer that the device has written, and waited for.
pub(super) fn read(buffer: &Subbuffer<[u8]>, out: &mut [f32]) -> Result<()> {
    let bytes = buffer.read().map_err(|error| fault(DeviceFault::Driver, format!("cannot read staging: {error}")))?;
    bytemuck::cast_slice_mut(out).copy_from_slice(&bytes);
    Ok(())
}
