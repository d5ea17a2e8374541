//! What decides the bits of a result beside the request and the checkpoint: the engine's build and the device.

use zoetrope::{Device, Precision};

/// The engine's version.
pub fn engine() -> String {
    format!("zoetrope {}", env!("CARGO_PKG_VERSION"))
}

/// The kernels and shaders of the engine, as 16 hexadecimal digits.
pub fn build() -> String {
    zoetrope::internals::build()
}

/// What of the [engine's identity](Device::identity) of a device is the device's own: its displayed name, and on a GPU the
/// cooperative matrices and tile sizes in use. Recipes have the precision and the build beside it.
pub fn device(device: &Device) -> String {
    let (name, identity) = (device.to_string(), device.identity());
    let parts = identity.strip_prefix(&name).unwrap_or_default();
    format!("{}{parts}", Precision::of(&name).0)
}

/// Whether an [identity](device) is that of a device with this displayed name.
pub fn has_name(identity: &str, name: &str) -> bool {
    identity.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_begin_with_names() {
        let device = Device::cpu().expect("a device");
        assert_eq!(super::device(&device), device.to_string(), "a processor has nothing more");
        assert!(has_name("vulkan A GPU, driver 1, matrices 16x16x16", "vulkan A GPU, driver 1"));
        assert!(has_name("cpu avx2", "cpu avx2") && !has_name("cpu avx2 exact-conv", "cpu avx2"));
        assert!(!has_name("vulkan A GPU 2", "vulkan A GPU"));
    }
}
