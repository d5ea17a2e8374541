//! Which cooperative matrices a device multiplies, and which of them shaders use.

use ash::vk;
use vulkano::device::physical::{PhysicalDevice, SubgroupFeatures};
use vulkano::device::{DeviceExtensions, DeviceFeatures};
use vulkano::shader::ShaderStages;
use vulkano::{Version, VulkanObject};

use super::info::CooperativeMatrix;
use crate::device::tuning::{KEYS, SUBGROUPS};

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

impl CooperativeMatrix {
    /// The matrices to use of a device, if it has any that serve.
    pub(super) fn of(device: &PhysicalDevice) -> Option<Self> {
        let (has, properties) = (device.supported_features(), device.properties());
        let subgroup = properties.subgroup_size?;
        // Only a whole subgroup can multiply them; its size has to be asked for.
        let whole = device.api_version() >= Version::V1_3
            && has.contains(&FEATURES)
            && properties.required_subgroup_size_stages?.intersects(ShaderStages::COMPUTE)
            && properties.subgroup_supported_operations?.contains(SubgroupFeatures::VOTE | SubgroupFeatures::SHUFFLE)
            && (properties.min_subgroup_size?..=properties.max_subgroup_size?).contains(&subgroup)
            && properties.max_compute_workgroup_subgroups? >= SUBGROUPS as u32
            && properties.max_compute_work_group_invocations >= SUBGROUPS as u32 * subgroup;
        let shapes = shapes(device);
        // In attention, neighbouring invocations share a row of a matrix, and have at least eight of its numbers each.
        let shared = |rows: u32| subgroup.is_multiple_of(rows) && subgroup / rows <= KEYS as u32 / 8;
        let fits = |shape: &&[u32; 3]| shape.iter().all(|side| [8, 16].contains(side)) && shared(shape[0]);
        // The largest: most work for what is read.
        let shape = *shapes.iter().filter(|_| whole).filter(fits).max_by_key(|shape| shape.iter().product::<u32>())?;
        Some(Self { shape, subgroup })
    }
}

/// What shaders that use cooperative matrices take.
pub(super) const FEATURES: DeviceFeatures = DeviceFeatures {
    cooperative_matrix: true,
    shader_float16: true,
    subgroup_size_control: true,
    vulkan_memory_model: true,
    // Once it is on, atomic operations need this.
    vulkan_memory_model_device_scope: true,
    ..DeviceFeatures::empty()
};
pub(super) const EXTENSIONS: DeviceExtensions =
    DeviceExtensions { khr_cooperative_matrix: true, ..DeviceExtensions::empty() };
