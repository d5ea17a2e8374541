//! Finding a GPU and opening it.

use std::sync::Arc;

use vulkano::device::physical::{PhysicalDevice, PhysicalDeviceType};
use vulkano::device::{Device, DeviceCreateInfo, DeviceExtensions, DeviceFeatures, Queue, QueueCreateInfo, QueueFlags};
use vulkano::instance::{Instance, InstanceCreateFlags, InstanceCreateInfo, InstanceExtensions};
use vulkano::memory::MemoryHeapFlags;
use vulkano::{LoadingError, Validated, Version, VulkanError, VulkanLibrary};

use super::cooperative;
use super::info::{GpuHeap, GpuInfo, GpuKind, GpuLimits};
use crate::error::{DeviceFault, Error, Result};

/// Shaders are made for this version.
const API: Version = Version::V1_2;
/// What every shader may take; Vulkan promises half of the invocations alone.
const INVOCATIONS: u32 = 256;
const SHARED_BYTES: u32 = 16 << 10;
pub(super) const PUSH_BYTES: u32 = 128;
const BINDINGS: u32 = 8;

const INSTALL: &str = "install the GPU's driver and the Vulkan loader (libvulkan1 on Debian), or take --device cpu";

pub(super) fn fault(fault: DeviceFault, why: impl Into<String>) -> Error {
    Error::Device { fault, why: why.into() }
}

/// An error of the driver about something that was being done.
pub(super) fn driver(doing: &str, error: impl Into<Validated<VulkanError>>) -> Error {
    match error.into() {
        Validated::Error(VulkanError::DeviceLost) => fault(
            DeviceFault::Lost,
            format!(
                "it stopped while it was to {doing}; try again with less at a time, another driver or --device cpu"
            ),
        ),
        Validated::Error(VulkanError::OutOfDeviceMemory | VulkanError::OutOfHostMemory) => {
            Error::OutOfMemory { asked: 0, budget: None }
        }
        error => fault(DeviceFault::Driver, format!("cannot {doing}: {error}; update the driver or take --device cpu")),
    }
}

/// The devices of this machine in the loader's order.
pub(super) fn physical() -> Result<Vec<Arc<PhysicalDevice>>> {
    let library = VulkanLibrary::new().map_err(|error| match error {
        LoadingError::LibraryLoadFailure(_) => fault(DeviceFault::NoLoader, INSTALL),
        LoadingError::VulkanError(error) => driver("load Vulkan", error),
    })?;
    let portability = library.supported_extensions().khr_portability_enumeration;
    let flags = if portability { InstanceCreateFlags::ENUMERATE_PORTABILITY } else { InstanceCreateFlags::empty() };
    let enabled_extensions = InstanceExtensions { khr_portability_enumeration: portability, ..Default::default() };
    let info = InstanceCreateInfo { flags, enabled_extensions, ..InstanceCreateInfo::application_from_cargo_toml() };
    let instance = Instance::new(library, info).map_err(|error| match error {
        Validated::Error(VulkanError::IncompatibleDriver) => fault(DeviceFault::Absent, INSTALL),
        error => driver("start Vulkan", error),
    })?;
    Ok(instance.enumerate_physical_devices().map_err(|error| driver("list the devices", error))?.collect())
}

/// What the driver says of a device.
pub(super) fn describe(index: usize, device: &PhysicalDevice) -> GpuInfo {
    let properties = device.properties();
    let kind = match properties.device_type {
        PhysicalDeviceType::DiscreteGpu => GpuKind::Discrete,
        PhysicalDeviceType::IntegratedGpu => GpuKind::Integrated,
        PhysicalDeviceType::VirtualGpu => GpuKind::Virtual,
        PhysicalDeviceType::Cpu => GpuKind::Software,
        _ => GpuKind::Other,
    };
    let vendor = match properties.vendor_id {
        0x1002 => "AMD".to_owned(),
        0x1010 => "Imagination".to_owned(),
        0x10de => "NVIDIA".to_owned(),
        0x13b5 => "ARM".to_owned(),
        0x106b => "Apple".to_owned(),
        0x1ae0 => "Google".to_owned(),
        0x5143 => "Qualcomm".to_owned(),
        0x8086 => "Intel".to_owned(),
        0x1_0005 => "Mesa".to_owned(),
        id => format!("{id:#06x}"),
    };
    let words = [properties.driver_name.as_deref(), properties.driver_info.as_deref()];
    let words: Vec<&str> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
    let driver = if words.is_empty() { format!("{:#x}", properties.driver_version) } else { words.join(" ") };
    let heaps = device.memory_properties().memory_heaps.iter();
    let heaps =
        heaps.map(|heap| GpuHeap { bytes: heap.size, local: heap.flags.intersects(MemoryHeapFlags::DEVICE_LOCAL) });
    let heaps: Vec<GpuHeap> = heaps.collect();
    let limits = GpuLimits {
        buffer_range: properties.max_storage_buffer_range.into(),
        allocation: properties.max_memory_allocation_size.unwrap_or(1 << 30),
        shared: properties.max_compute_shared_memory_size,
        invocations: properties.max_compute_work_group_invocations,
    };
    GpuInfo {
        index,
        name: properties.device_name.clone(),
        vendor,
        driver,
        kind,
        memory: heaps.iter().filter(|heap| heap.local).map(|heap| heap.bytes).max().unwrap_or(0),
        f16: device.supported_features().shader_float16 && device.supported_features().storage_buffer16_bit_access,
        subgroup: properties.subgroup_size.unwrap_or(1),
        api: device.api_version().to_string(),
        heaps,
        limits,
        matrices: cooperative::shapes(device),
        unusable: lacks(device),
    }
}

/// What a device does not have that everything here needs.
fn lacks(device: &PhysicalDevice) -> Option<String> {
    let properties = device.properties();
    if device.api_version() < API {
        return Some(format!("it has Vulkan {}, {API} is needed; a newer driver may help", device.api_version()));
    }
    if family(device).is_none() {
        return Some("it computes nothing, it only draws".into());
    }
    let least = [
        ("invocations in a workgroup", properties.max_compute_work_group_invocations, INVOCATIONS),
        ("bytes of shared memory", properties.max_compute_shared_memory_size, SHARED_BYTES),
        ("bytes of push constants", properties.max_push_constants_size, PUSH_BYTES),
        ("storage buffers in a shader", properties.max_per_stage_descriptor_storage_buffers, BINDINGS),
    ];
    let short = least.into_iter().find(|(_, has, needed)| has < needed);
    short.map(|(what, has, needed)| format!("it has {has} {what}, {needed} are needed"))
}

/// The queue family to compute on: one that draws too, the best tested of all, if there is one.
fn family(device: &PhysicalDevice) -> Option<u32> {
    let families = device.queue_family_properties().iter().enumerate();
    let computing = families.filter(|(_, family)| family.queue_flags.intersects(QueueFlags::COMPUTE));
    let best = computing
        .max_by_key(|(index, family)| (family.queue_flags.intersects(QueueFlags::GRAPHICS), std::cmp::Reverse(*index)));
    best.map(|(index, _)| index as u32)
}

/// Opens a device with one queue, and with cooperative matrices if they are to be used.
pub(super) fn open(physical: Arc<PhysicalDevice>, matrices: bool) -> Result<(Arc<Device>, Arc<Queue>)> {
    let queue_family_index = family(&physical).ok_or_else(|| fault(DeviceFault::Unusable, "it does not compute"))?;
    let supported = physical.supported_extensions();
    let info = DeviceCreateInfo {
        queue_create_infos: vec![QueueCreateInfo { queue_family_index, ..Default::default() }],
        // A device that has it must have it switched on.
        enabled_extensions: DeviceExtensions {
            khr_portability_subset: supported.khr_portability_subset,
            ..if matrices { cooperative::EXTENSIONS } else { DeviceExtensions::empty() }
        },
        enabled_features: DeviceFeatures {
            shader_float16: physical.supported_features().shader_float16,
            ..if matrices { cooperative::FEATURES } else { DeviceFeatures::empty() }
        },
        ..Default::default()
    };
    let (device, mut queues) = Device::new(physical, info).map_err(|error| driver("open the device", error))?;
    let queue = queues.next().ok_or_else(|| fault(DeviceFault::Driver, "the device came without its queue"))?;
    Ok((device, queue))
}
