//! Buffers on the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vulkano::buffer::{AllocateBufferError, Buffer, BufferCreateInfo, BufferUsage, Subbuffer};
use vulkano::device::Device;
use vulkano::memory::MemoryPropertyFlags;
use vulkano::memory::allocator::{
    AllocationCreateInfo, DeviceLayout, GenericMemoryAllocatorCreateInfo, MemoryAllocatorError, MemoryTypeFilter,
    StandardMemoryAllocator,
};
use vulkano::{Validated, VulkanError};

use super::open::{driver, fault};
use crate::device::pool::Held;
use crate::error::{DeviceFault, Error, Result};

/// Buffers are of whole steps, so that a request for few bytes more finds the same buffer.
const STEP: u64 = 256;
/// Small buffers share allocations of this size: drivers limit their number to some thousands.
const SHARED_ALLOCATION: u64 = 32 << 20;

/// A buffer in the device's memory.
#[derive(Debug)]
pub(crate) struct Block {
    pub(super) buffer: Subbuffer<[u8]>,
    /// The number of the barrier after which it was last written or read: the stream needs no other
    /// barrier than a new one if this is the present one.
    pub(super) written: AtomicU64,
    pub(super) read: AtomicU64,
}

impl Held for Block {
    fn bytes(&self) -> u64 {
        self.buffer.size()
    }
}

impl Block {
    fn new(buffer: Subbuffer<[u8]>) -> Self {
        Self { buffer, written: AtomicU64::new(0), read: AtomicU64::new(0) }
    }

    /// Whether a use has to wait for what was done since barrier `now`.
    pub(super) fn hazard(&self, now: u64, writes: bool) -> bool {
        self.written.load(Ordering::Relaxed) == now || (writes && self.read.load(Ordering::Relaxed) == now)
    }

    /// Notes a use after barrier `now`.
    pub(super) fn mark(&self, now: u64, writes: bool) {
        if writes { &self.written } else { &self.read }.store(now, Ordering::Relaxed);
    }
}

/// What a buffer is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// Tensors and weights.
    Device,
    /// On the way to the device.
    Upload,
    /// On the way back.
    Download,
}

/// The source of all buffers of a device.
pub(super) struct Memory {
    allocator: Arc<StandardMemoryAllocator>,
    /// The most bytes of one allocation.
    largest: u64,
}

impl Memory {
    pub fn new(device: &Arc<Device>) -> Self {
        let physical = device.physical_device();
        let types = physical.memory_properties().memory_types.len();
        let info =
            GenericMemoryAllocatorCreateInfo { block_sizes: &vec![SHARED_ALLOCATION; types], ..Default::default() };
        let largest = physical.properties().max_memory_allocation_size.unwrap_or(1 << 30);
        Self { allocator: Arc::new(StandardMemoryAllocator::new(device.clone(), info)), largest }
    }

    /// The size of a buffer that holds `bytes`.
    pub fn round(bytes: u64) -> u64 {
        bytes.max(1).checked_next_multiple_of(STEP).unwrap_or(u64::MAX)
    }

    /// A new buffer of `bytes`, which are of [whole steps](Self::round), in the device's memory.
    pub fn block(&self, bytes: u64) -> Result<Block> {
        self.buffer(bytes, Role::Device).map(Block::new)
    }

    /// A new buffer.
    pub fn buffer(&self, bytes: u64, role: Role) -> Result<Subbuffer<[u8]>> {
        if bytes > self.largest {
            return Err(Error::OutOfMemory { asked: bytes, budget: Some(self.largest) });
        }
        let coherent = MemoryPropertyFlags::HOST_VISIBLE | MemoryPropertyFlags::HOST_COHERENT;
        let (usage, filter) = match role {
            Role::Device => (
                BufferUsage::STORAGE_BUFFER | BufferUsage::TRANSFER_SRC | BufferUsage::TRANSFER_DST,
                MemoryTypeFilter::PREFER_DEVICE,
            ),
            Role::Upload => (
                BufferUsage::TRANSFER_SRC,
                MemoryTypeFilter {
                    required_flags: coherent,
                    not_preferred_flags: MemoryPropertyFlags::HOST_CACHED | MemoryPropertyFlags::DEVICE_LOCAL,
                    ..MemoryTypeFilter::empty()
                },
            ),
            Role::Download => (
                BufferUsage::TRANSFER_DST,
                MemoryTypeFilter {
                    required_flags: coherent,
                    preferred_flags: MemoryPropertyFlags::HOST_CACHED,
                    ..MemoryTypeFilter::empty()
                },
            ),
        };
        let layout = DeviceLayout::from_size_alignment(bytes, STEP);
        let layout = layout.ok_or(Error::OutOfMemory { asked: bytes, budget: None })?;
        let info = AllocationCreateInfo { memory_type_filter: filter, ..Default::default() };
        let buffer =
            Buffer::new(self.allocator.clone(), BufferCreateInfo { usage, ..Default::default() }, info, layout);
        buffer.map(Subbuffer::new).map_err(|error| refused(error, bytes))
    }
}

/// The error of a buffer that could not be made.
fn refused(error: Validated<AllocateBufferError>, asked: u64) -> Error {
    let full = Error::OutOfMemory { asked, budget: None };
    match error {
        Validated::Error(AllocateBufferError::CreateBuffer(error) | AllocateBufferError::BindMemory(error)) => {
            match driver("make a buffer", error) {
                Error::OutOfMemory { .. } => full,
                error => error,
            }
        }
        Validated::Error(AllocateBufferError::AllocateMemory(MemoryAllocatorError::AllocateDeviceMemory(
            Validated::Error(VulkanError::DeviceLost),
        ))) => driver("allocate memory", VulkanError::DeviceLost),
        Validated::Error(AllocateBufferError::AllocateMemory(_)) => full,
        Validated::ValidationError(error) => fault(DeviceFault::Driver, format!("cannot make a buffer: {error}")),
    }
}
