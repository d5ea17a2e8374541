//! The devices of this machine, opened for measuring.

use std::fmt::Write;

use program::devices::{self, DeviceChoice, DeviceSettings};
use speeds::describe;
use speeds::error::Result;
use speeds::machine;
use speeds::results::DeviceInfo;
use zoetrope::{Device, GpuInfo, GpuKind, Precision};

/// A device that is open.
pub struct Opened {
    /// The device.
    pub device: Device,
    /// What it is.
    pub info: DeviceInfo,
}

/// Opens the devices that were named, or else the processor and every GPU that can be used and is no software driver; GPUs
/// at this precision. Memory is what this process may use of a device's.
///
/// # Errors
/// [`Error::Engine`](speeds::Error::Engine) naming the device that is not there or cannot be used.
pub fn open(choices: &[DeviceChoice], precision: Precision) -> Result<Vec<Opened>> {
    // A processor has full precision alone.
    let options = |gpu: Option<&GpuInfo>| {
        let precision = Some(gpu.map_or(Precision::Full, |_| precision));
        DeviceSettings { precision, ..DeviceSettings::default() }.options(gpu)
    };
    if choices.is_empty() {
        let mut opened = vec![described(Device::cpu_with(options(None))?)];
        // A machine without Vulkan has a processor all the same.
        let gpus = Device::gpus().unwrap_or_default();
        for gpu in gpus.iter().filter(|gpu| gpu.kind != GpuKind::Software && gpu.unusable.is_none()) {
            opened.push(described(Device::vulkan(gpu.index, options(Some(gpu)))?));
        }
        return Ok(opened);
    }
    let mut opened: Vec<Opened> = Vec::new();
    for choice in choices {
        let one = described(choice.open(&mut |gpu| options(gpu))?.device);
        // Named twice, by its number and by its name, it is measured once.
        if opened.iter().all(|other| other.info.id != one.info.id) {
            opened.push(one);
        }
    }
    Ok(opened)
}

fn described(device: Device) -> Opened {
    Opened { info: describe::info(&device), device }
}

/// The devices of this machine in words, those that cannot be used among them.
///
/// # Errors
/// Those of opening the processor.
pub fn list() -> Result<String> {
    let listing = devices::list()?;
    let mut text = String::new();
    for device in &listing.devices {
        let remark = match device.id.as_str() {
            "cpu" => format!("; {} threads; {} KB of cache", rayon::current_num_threads(), machine::cache() >> 10),
            _ if device.software => "; measured only where it is named".into(),
            _ => String::new(),
        };
        // Writing to a text does not fail.
        let _ = writeln!(text, "{:<9} {}{remark}", device.id, device.description);
    }
    listing.no_gpu.iter().for_each(|error| text.push_str(&format!("no GPU: {error}\n")));
    Ok(text)
}
