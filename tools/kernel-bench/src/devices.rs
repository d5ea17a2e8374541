//! The devices of this machine, opened for measuring.

use std::fmt::Write;

use zoetrope::{Device, DeviceChoice, DeviceOptions, GpuHeap, GpuInfo, GpuKind, Precision};

use crate::error::Result;
use crate::machine::{self, Host};
use crate::results::{DeviceInfo, Heap, Limits};
use crate::saved;

/// Bytes that are surely more than the last cache of a GPU.
const GPU_CACHE: u64 = 128 << 20;

/// A device that is open.
pub struct Opened {
    /// The device.
    pub device: Device,
    /// What it is.
    pub info: DeviceInfo,
}

/// Opens the devices that were named, or else the processor and every GPU that can be used and is no software driver; GPUs
/// at this precision.
///
/// # Errors
/// [`Error::Engine`](crate::Error::Engine) naming the device that is not there or cannot be used.
pub fn open(choices: &[DeviceChoice], precision: Precision) -> Result<Vec<Opened>> {
    if choices.is_empty() {
        let mut opened = vec![described(Device::cpu()?)];
        // A machine without Vulkan has a processor all the same.
        let gpus = Device::gpus().unwrap_or_default();
        for gpu in gpus.iter().filter(|gpu| gpu.kind != GpuKind::Software && gpu.unusable.is_none()) {
            opened.push(described(Device::vulkan(gpu.index, options(precision))?));
        }
        return Ok(opened);
    }
    let mut opened: Vec<Opened> = Vec::new();
    for choice in choices {
        let one = described(choice.open(&mut |gpu| options(gpu.map_or(Precision::Full, |_| precision)))?.device);
        // Named twice, by its number and by its name, it is measured once.
        if opened.iter().all(|other| other.info.id != one.info.id) {
            opened.push(one);
        }
    }
    Ok(opened)
}

/// With what the user's pipelines and tuning are.
fn options(precision: Precision) -> DeviceOptions {
    DeviceOptions { precision, pipeline_cache: saved::pipelines(), ..DeviceOptions::default() }
}

fn described(device: Device) -> Opened {
    Opened { info: info(&device), device }
}

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
        memory: Some(memory),
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
        memory: host.memory,
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

/// The devices of this machine in words, those that cannot be used among them.
///
/// # Errors
/// Those of opening the processor.
pub fn list() -> Result<String> {
    let cpu = cpu(&Device::cpu()?);
    let mut text = format!(
        "cpu       {}; {} on {} threads; {} KB of cache{}\n",
        cpu.name,
        cpu.level.unwrap_or_default(),
        cpu.threads.unwrap_or(1),
        cpu.cache >> 10,
        cpu.memory.map(|memory| format!("; {}", gibibytes(memory))).unwrap_or_default()
    );
    match Device::gpus() {
        Ok(gpus) => gpus.iter().for_each(|gpu| line(&mut text, gpu)),
        Err(error) => text.push_str(&format!("no GPU: {error}\n")),
    }
    Ok(text)
}

fn line(text: &mut String, gpu: &GpuInfo) {
    let unasked = gpu.kind == GpuKind::Software && gpu.unusable.is_none();
    let remark = if unasked { "; measured only where it is named" } else { "" };
    // Writing to a text does not fail.
    let _ = writeln!(text, "{:<9} {gpu}{remark}", format!("vulkan:{}", gpu.index));
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}
