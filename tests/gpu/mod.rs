//! The GPUs that tests run on: all of this machine that can be used, software drivers too; none without Vulkan.
#![allow(dead_code, reason = "each test file uses its share")]

use std::sync::OnceLock;

use zoetrope::{Device, DeviceOptions, Precision};

/// Each opened once: compiling shaders takes longer than running them.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let usable = Device::gpus().unwrap_or_default().into_iter().filter(|gpu| gpu.unusable.is_none());
        usable.map(|gpu| Device::vulkan(gpu.index, DeviceOptions::default()).expect("a usable GPU")).collect()
    })
}

/// All of them at half precision.
pub fn at_half() -> Vec<Device> {
    let half = DeviceOptions { precision: Precision::Half, ..DeviceOptions::default() };
    (0..devices().len()).map(|index| Device::vulkan(index, half.clone()).expect("a usable GPU")).collect()
}
