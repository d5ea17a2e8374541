//! What a device is, as results say it.

use zoetrope::{Device, GpuHeap, GpuInfo};

use crate::machine::{self, Host};
use crate::results::{DeviceInfo, Heap, Limits};

/// Bytes that are surely more than the last cache of a GPU.
const GPU_CACHE: u64 = 128 << 20;

/// What a device is; a processor in the caller's pool of threads.
pub fn info(device: &Device) -> DeviceInfo {
    let Device::Vulkan(vulkan) = device else { return cpu(device) };
    let GpuInfo { index, name, vendor, driver, kind, memory, f16, subgroup, api, heaps, limits, matrices, .. } =
        vulkan.info().clone();
    DeviceInfo {
        id: format!("vulkan:{index}"),
        name,
        kind: kind.to_string(),
        vendor: Some(vendor),
        driver: Some(driver),
        api: Some(api),
        memory: device.memory_budget().or(Some(memory)),
        f16: Some(f16),
        subgroup: Some(subgroup),
        level: None,
        threads: None,
        cache: GPU_CACHE,
        heaps: heaps.into_iter().map(|GpuHeap { bytes, local }| Heap { bytes, local }).collect(),
        limits: Some(Limits {
            buffer_range: limits.buffer_range,
            allocation: limits.allocation,
            shared: limits.shared,
            invocations: limits.invocations,
        }),
        matrices,
    }
}

fn cpu(device: &Device) -> DeviceInfo {
    let host = Host::here();
    DeviceInfo {
        id: "cpu".into(),
        name: host.cpu.unwrap_or_else(|| host.arch.clone()),
        kind: "cpu".into(),
        vendor: None,
        driver: None,
        api: None,
        memory: device.memory_budget().or(host.memory),
        f16: None,
        subgroup: None,
        level: Some(device.to_string().trim_start_matches("cpu ").to_owned()),
        threads: Some(rayon::current_num_threads()),
        cache: machine::cache(),
        heaps: Vec::new(),
        limits: None,
        matrices: Vec::new(),
    }
}
