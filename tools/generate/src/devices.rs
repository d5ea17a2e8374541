//! Where to compute.

use kernel_bench::saved;
use zoetrope::{
    Cancel, Chosen, Device, DeviceChoice, DeviceFault, DeviceOptions, Error, GpuInfo, Precision, Result, SimdLevel,
};

use crate::report::Report;
use crate::{memory, plan, print};

/// What a device is opened with beside its choice.
pub struct Place {
    pub cancel: Cancel,
    /// The most bytes that it may use, if not all that it has.
    pub memory: Option<u64>,
    /// The processor's instruction set, if it is to be a certain one.
    pub level: Option<SimdLevel>,
    pub exact_conv: bool,
    /// If it is not the usual one of the device.
    pub precision: Option<Precision>,
}

/// Opens a device, and says what it is if it might have been another.
pub fn open(choice: &DeviceChoice, place: &Place, report: &Report) -> Result<Device> {
    let mut options = |gpu: Option<&GpuInfo>| DeviceOptions {
        // Of two limits the lower one; none is no limit.
        memory_budget: place.memory.into_iter().chain(gpu.map_or_else(memory::total, |gpu| Some(gpu.memory))).min(),
        level: place.level,
        exact_conv: place.exact_conv,
        precision: place.precision.unwrap_or_else(|| gpu.map_or(Precision::Full, GpuInfo::usual_precision)),
        pipeline_cache: saved::pipelines(),
        cancel: place.cancel.clone(),
        ..DeviceOptions::default()
    };
    let Chosen { device, instead } = choice.open(&mut options)?;
    match instead {
        None => {}
        Some(Error::Device { fault: DeviceFault::NotBuilt | DeviceFault::NoLoader | DeviceFault::Absent, .. }) => {
            report.line(&format!("no GPU: computing on {device}"));
        }
        Some(error) => report.warning(&format!("computing on {device}: {error}")),
    }
    if let Device::Vulkan(vulkan) = &device {
        let units = vulkan.matrices().map(|[m, n, k]| format!(", matrix units of {m}x{n}x{k}"));
        report.line(&format!("computing on {device}{}", units.unwrap_or_default()));
        let info = vulkan.info();
        if device.precision() == Precision::Half && !info.matrices.is_empty() && vulkan.matrices().is_none() {
            report.warning(&format!(
                "without the matrix units of {}, which fail their trial or lack what they need: it will take longer; a \
                 newer driver may help",
                info.name
            ));
        }
    }
    Ok(device)
}

/// Prints the devices of this machine.
pub fn list() -> Result<()> {
    let mut text = format!("cpu       the processor: {}", Device::cpu()?.to_string().trim_start_matches("cpu "));
    if let Some(total) = memory::total() {
        text.push_str(&format!("; {}", plan::bytes(total)));
    }
    text.push('\n');
    match Device::gpus() {
        Ok(gpus) => {
            gpus.iter().for_each(|gpu| text.push_str(&format!("{:<9} {gpu}\n", format!("vulkan:{}", gpu.index))))
        }
        Err(error) => text.push_str(&format!("no GPU: {error}\n")),
    }
    print(text.as_bytes())
}
