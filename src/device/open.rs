//! The opening of GPUs.

use super::{Device, DeviceOptions, Precision};
use crate::error::Result;
use crate::ops;
use crate::vulkan::Vulkan;

impl Device {
    /// The GPU of this [index](crate::GpuInfo::index); opening one twice gives two devices that know nothing of each other.
    ///
    /// At half precision its cooperative matrices do the products, if it has any whose results are right when they are
    /// tried.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if there is no such GPU or it cannot be used.
    pub fn vulkan(index: usize, mut options: DeviceOptions) -> Result<Self> {
        let precision = options.precision;
        if precision == Precision::Half && !options.without_matrices {
            // On a device of its own: what is lost or counted by it is that one's.
            let (pipeline_cache, tuning) = (options.pipeline_cache.clone(), options.tuning.clone());
            let trial = DeviceOptions { precision, pipeline_cache, tuning, ..DeviceOptions::default() };
            let first = Vulkan::open(index, trial)?;
            options.without_matrices =
                first.matrices().is_none() || !matches!(ops::units_are_right(&Self::Vulkan(first)), Ok(true));
        }
        Vulkan::open(index, options).map(Self::Vulkan)
    }
}
