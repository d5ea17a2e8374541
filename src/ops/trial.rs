//! Opening a GPU, with a trial of its cooperative matrices: there are drivers that offer them, and miscount.

use zoetrope_kernels::Activation;

use super::attention::{KeyValue, attention};
use super::conv3d::{Conv3dParams, conv3d};
use super::linear::linear;
use crate::device::{Device, DeviceOptions, Precision};
use crate::error::Result;
use crate::tensor::{OutputType, Tensor};
use crate::vulkan::Vulkan;
use crate::weights::{Storage, Weight};

impl Device {
    /// The GPU of this [index](crate::GpuInfo::index); opening one twice gives two devices that know nothing of each other.
    ///
    /// At half precision it multiplies cooperative matrices, if it has any whose products are right when they are tried.
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
            options.without_matrices = first.matrices().is_none() || !matches!(agrees(&Self::Vulkan(first)), Ok(true));
        }
        Vulkan::open(index, options).map(Self::Vulkan)
    }
}

/// Whether a layer, attention and a convolution come out as on the processor.
///
/// # Errors
/// Those of all ops.
fn agrees(gpu: &Device) -> Result<bool> {
    let cpu = Device::cpu_with(DeviceOptions { exact_conv: true, ..DeviceOptions::default() })?;
    Ok(agree(&all_three(&cpu)?, &all_three(gpu)?))
}

fn agree(ours: &[Vec<f32>; 3], theirs: &[Vec<f32>; 3]) -> bool {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 4e-3;
    // Sums of whole numbers are exact; a softmax's weights are rounded to F16.
    ours[0] == theirs[0] && ours[1].iter().zip(&theirs[1]).all(near) && ours[2] == theirs[2]
}

/// What the three ops make of numbers that F16 holds.
fn all_three(device: &Device) -> Result<[Vec<f32>; 3]> {
    let operand = |shape: &[usize], step: usize, scale: f32| {
        Tensor::from_slice_as(device, shape, &pattern(shape.iter().product(), step, scale), OutputType::Operand)
    };
    let weight = |shape: &[usize], step: usize| {
        let bytes = pattern(shape.iter().product(), step, 1.0).into_iter();
        let bytes: Vec<u8> = bytes.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect();
        Weight::from_bytes("trial", Storage::F16, shape, bytes)
    };
    // More rows than are few, and parts of tiles at every end.
    let layer =
        linear(&operand(&[1100, 72], 7, 1.0)?, &weight(&[150, 72], 5)?, None, Activation::None, OutputType::F32)?;
    let kv = KeyValue::new(operand(&[75, 128], 11, 0.25)?, operand(&[75, 128], 13, 0.25)?);
    let attended = attention(&operand(&[140, 128], 17, 0.25)?, &[kv], 1, 0.25, OutputType::F32)?;
    let params = Conv3dParams { stride: [1; 3], pad_front: 0, pad: [1; 4] };
    let (x, tail) = (operand(&[3, 7, 9, 40], 19, 1.0)?, operand(&[2, 7, 9, 40], 23, 1.0)?);
    let convolved = conv3d(&x, Some(&tail), &weight(&[40, 40, 3, 3, 3], 29)?, None, params)?;
    Ok([layer.to_vec()?, attended.to_vec()?, convolved.to_vec()?])
}

/// Whole numbers from -4 to 4 without a short period, times a scale.
fn pattern(count: usize, step: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * step + i / 8 * 3 + i / 61) % 9) as f32).map(|value| scale * (value - 4.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_number_is_noticed() {
        let ours = all_three(&Device::cpu().unwrap()).unwrap();
        assert!(agree(&ours, &ours));
        for op in 0..3 {
            for wrong in [ours[op][5] + 0.01, f32::NAN] {
                let mut theirs = ours.clone();
                theirs[op][5] = wrong;
                assert!(!agree(&ours, &theirs), "{op}");
            }
        }
        // Every op sees numbers that differ, and sums are whole numbers that F32 counts.
        assert!(ours.iter().all(|values| values.iter().any(|&value| value != values[0])));
        assert!(ours[0].iter().chain(&ours[2]).all(|value| value.fract() == 0.0 && value.abs() < 1e6));
    }
}
