//! The GPUs that tests run on: all of this machine that can be used, software drivers too; none without Vulkan.

use std::sync::OnceLock;

use zoetrope::{Device, DeviceOptions};

/// Each opened once: compiling shaders takes longer than running them.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let usable = Device::gpus().unwrap_or_default().into_iter().filter(|gpu| gpu.unusable.is_none());
        usable.map(|gpu| Device::vulkan(gpu.index, DeviceOptions::default()).expect("a usable GPU")).collect()
    })
}
