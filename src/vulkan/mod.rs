//! GPUs through Vulkan, chosen and loaded at run time.
//!
//! An op describes one [dispatch](dispatch); the stream records it late, with the barriers that its buffers need, and
//! flushes by size and when somebody waits for numbers. Only ops, tensors and the device know of this module.
//!
//! Files use each other downwards: `handle` (opening), `run` and `timing`; `residents` (weights); `allocate`, `record` and
//! `transfer` (buffers, shaders, copies); `state` (the data of all of them); leaves below.
//!
//! Without the feature `vulkan` its handle has no value: arms for it compile everywhere and run nowhere.

pub(crate) mod constants;
mod dispatch;
mod info;
mod layout;
mod shaders;

#[cfg(feature = "vulkan")]
mod allocate;
#[cfg(feature = "vulkan")]
#[allow(unsafe_code, reason = "the driver fills a list; every block says what upholds it")]
mod cooperative;
#[cfg(feature = "vulkan")]
mod copies;
#[cfg(feature = "vulkan")]
mod handle;
#[cfg(feature = "vulkan")]
mod memory;
#[cfg(feature = "vulkan")]
mod open;
#[cfg(feature = "vulkan")]
#[allow(unsafe_code, reason = "the driver is given shaders and its own cache; every block says what upholds it")]
mod pipelines;
#[cfg(feature = "vulkan")]
mod record;
#[cfg(feature = "vulkan")]
mod residents;
#[cfg(feature = "vulkan")]
mod run;
#[cfg(feature = "vulkan")]
mod staging;
#[cfg(feature = "vulkan")]
mod state;
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
pub(crate) use absent::Block;
#[cfg(not(feature = "vulkan"))]
pub use absent::Vulkan;
pub(crate) use dispatch::{BufferDispatch, BufferPart, DispatchParams, Input};
pub(crate) use info::CooperativeMatrix;
pub use info::{GpuHeap, GpuInfo, GpuKind, GpuLimits};
pub(crate) use layout::GpuLayout;
#[cfg(feature = "vulkan")]
pub(crate) use memory::Block;
pub(crate) use shaders::*;
#[cfg(feature = "vulkan")]
pub use state::Vulkan;
