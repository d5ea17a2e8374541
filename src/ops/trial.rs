//! Whether a GPU's matrix units do what they should: there are drivers that offer units, and miscount.

use super::{Activation, Conv3dParams, KeyValue, OutputType, attention, conv3d, linear};
use crate::device::{Device, DeviceOptions};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::weights::{Storage, Weight};

/// Whether a layer, attention and a convolution come out as on the processor.
///
/// # Errors
/// Those of all ops.
pub(crate) fn units_are_right(gpu: &Device) -> Result<bool> {
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
