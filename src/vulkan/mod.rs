//! GPUs through Vulkan, chosen and loaded at run time.
//!
//! An op describes one [`Dispatch`]; the [stream](stream) records it late, with the barriers that its buffers need, and
//! flushes by size and when somebody waits for numbers. Only ops, tensors and the device know of this module.
//!
//! Without the feature `vulkan` its handle has no value: arms for it compile everywhere and run nowhere.

mod dispatch;
mod info;
mod shaders;

#[cfg(feature = "vulkan")]
mod handle;
#[cfg(feature = "vulkan")]
#[allow(unsafe_code, reason = "the driver fills a list; every block says what upholds it")]
mod matrices;
#[cfg(feature = "vulkan")]
mod memory;
#[cfg(feature = "vulkan")]
mod open;
#[cfg(feature = "vulkan")]
#[allow(unsafe_code, reason = "the driver is given shaders and its own cache; every block says what upholds it")]
mod pipelines;
#[cfg(feature = "vulkan")]
mod residents;
#[cfg(feature = "vulkan")]
mod run;
#[cfg(feature = "vulkan")]
mod staging;
#[cfg(feature = "vulkan")]
#[allow(unsafe_code, reason = "commands are recorded and submitted here; every block says what upholds it")]
mod stream;
#[cfg(feature = "vulkan")]
mod timing;
#[cfg(feature = "vulkan")]
mod transfer;

#[cfg(not(feature = "vulkan"))]
mod absent;

#[cfg(not(feature = "vulkan"))]
pub use absent::Vulkan;
#[cfg(not(feature = "vulkan"))]
pub(crate) use absent::{Block, Slot};
pub(crate) use dispatch::{Bound, Dispatch, Kept};
#[cfg(feature = "vulkan")]
pub use handle::Vulkan;
pub(crate) use info::Units;
pub use info::{GpuHeap, GpuInfo, GpuKind, GpuLimits};
#[cfg(feature = "vulkan")]
pub(crate) use memory::Block;
#[cfg(feature = "vulkan")]
pub(crate) use residents::Slot;
pub(crate) use shaders::*;
