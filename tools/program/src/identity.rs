//! What decides the bits of a result beside the request and the checkpoint: the engine's build and the device.

use zoetrope::{Device, Precision};

/// The engine's version.
pub fn engine() -> String {
    format!("zoetrope {}", env!("CARGO_PKG_VERSION"))
}

/// The engine's version with a hash of its shaders.
pub fn build() -> String {
    format!("{}, shaders {}", engine(), zoetrope::tuning::shaders())
}

/// The device with everything of it that bits depend on: its name and driver or instruction set, and on a GPU the
/// cooperative matrices and tile sizes in use. The precision is [told apart](precision).
///
/// It begins with the device's displayed name.
pub fn device(device: &Device) -> String {
    let name = Precision::of(&device.to_string()).0.to_owned();
    let Device::Vulkan(vulkan) = device else { return name };
    let matrices = vulkan.matrices().map(|[m, n, k]| format!(", cooperative matrices {m}x{n}x{k}"));
    let mut hash = hmac_sha256::Hash::new();
    hash.update(format!("{:?}", vulkan.tuning()));
    format!("{name}{}, tile sizes {}", matrices.unwrap_or_default(), &crate::hash::hex(hash)[..16])
}

/// Whether an [identity](device) that was recorded, or a displayed name of version 1 of a recipe, is that of `here`.
pub fn matches(recorded: &str, here: &str) -> bool {
    here == recorded || here.strip_prefix(recorded).is_some_and(|rest| rest.starts_with(", "))
}
