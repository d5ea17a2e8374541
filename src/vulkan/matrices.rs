//! Which products of small matrices a device does in units of its own.

use ash::vk;
use vulkano::VulkanObject;
use vulkano::device::physical::PhysicalDevice;

/// Rows, columns and terms of the products of F16 with sums of F32 that a subgroup does together.
pub(super) fn shapes(device: &PhysicalDevice) -> Vec<[u32; 3]> {
    if !device.supported_extensions().khr_cooperative_matrix || !device.supported_features().cooperative_matrix {
        return Vec::new();
    }
    let list = device.instance().fns().khr_cooperative_matrix.get_physical_device_cooperative_matrix_properties_khr;
    let (mut count, device) = (0, device.handle());
    // SAFETY: the device has the extension, its handle is valid while it is borrowed, and without a place for properties only
    // their number is written.
    let counted = unsafe { list(device, &mut count, std::ptr::null_mut()) };
    if counted != vk::Result::SUCCESS {
        return Vec::new();
    }
    let mut found = vec![vk::CooperativeMatrixPropertiesKHR::default(); count as usize];
    // SAFETY: as above, and `found` has room for as many as `count` says.
    let listed = unsafe { list(device, &mut count, found.as_mut_ptr()) };
    if listed != vk::Result::SUCCESS {
        return Vec::new();
    }
    let (half, full) = (vk::ComponentTypeKHR::FLOAT16, vk::ComponentTypeKHR::FLOAT32);
    let fits = |of: &&vk::CooperativeMatrixPropertiesKHR| {
        [of.a_type, of.b_type, of.c_type, of.result_type] == [half, half, full, full]
            && of.scope == vk::ScopeKHR::SUBGROUP
    };
    found.truncate(count as usize);
    let mut shapes: Vec<_> = found.iter().filter(fits).map(|of| [of.m_size, of.n_size, of.k_size]).collect();
    shapes.sort_unstable();
    shapes.dedup();
    shapes
}
