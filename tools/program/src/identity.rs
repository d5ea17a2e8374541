//! What decides the bits of a result beside the request and the checkpoint: the engine's build and the device.

use zoetrope::{Device, Precision};

/// The engine's version.
pub fn engine() -> String {
    format!("zoetrope {}", env!("CARGO_PKG_VERSION"))
}

/// The engine's version with a hash of its kernels and shaders.
pub fn build() -> String {
    format!("{}, build {}", engine(), zoetrope::internals::build())
}

/// The device with everything of it that bits depend on: its name and driver or instruction set, and on a GPU the
/// cooperative matrices and tile sizes in use. The precision is [told apart](precision).
///
/// It begins with the device's displayed name.
pub fn device(device: &Device) -> String {
    let (shown, identity) = (device.to_string(), device.identity());
    let (name, _) = Precision::of(&shown);
    format!("{name}{}", identity.strip_prefix(&shown).unwrap_or_default())
}

/// Whether an [identity](device) that was recorded, or a displayed name of version 1 of a recipe, is that of `here`.
pub fn matches(recorded: &str, here: &str) -> bool {
    here == recorded || here.strip_prefix(recorded).is_some_and(|rest| rest.starts_with(", "))
}
