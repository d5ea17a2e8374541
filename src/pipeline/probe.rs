//! How fast a machine is, by half a second of measuring.

use std::time::{Duration, Instant};

use crate::device::{Device, Work};
use crate::error::Result;
use crate::ops::{self, Activation, Conv3dParams, KeyValue, OutputType};
use crate::tensor::Tensor;
use crate::weights::{Storage, Weight};

/// What a machine does in a second, by the kind of its [`Work`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// FLOP of linear layers.
    pub linear: f64,
    /// FLOP of attention.
    pub attention: f64,
    /// FLOP of convolutions.
    pub conv3d: f64,
    /// Bytes that other ops read and write.
    pub moved: f64,
}

/// How long each kind is measured.
const MEASURED: Duration = Duration::from_millis(110);

impl Probe {
    /// Measures the machine for half a second with the engine's own kernels at a model's shapes, with the instructions of
    /// `device` and in the caller's rayon pool; takes some 200 MB of memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn measure(device: &Device) -> Result<Self> {
        let device = &device.another()?;
        let values = |shape: &[usize]| (0..shape.iter().product()).map(|i: usize| (i % 251) as f32 / 251.0 - 0.5);
        let tensor = |shape: &[usize]| Tensor::from_slice(device, shape, &values(shape).collect::<Vec<_>>());
        let weight = |shape: &[usize]| {
            let upper_half = |value: f32| ((value.to_bits() >> 16) as u16).to_le_bytes();
            Weight::from_bytes("probe", Storage::BF16, shape, values(shape).flat_map(upper_half).collect::<Vec<_>>())
        };
        let rate = |amount: fn(Work) -> u64, op: &dyn Fn() -> Result<Tensor>| {
            // Once for the pages and caches.
            op()?;
            device.wait()?;
            let (start, before) = (Instant::now(), device.work());
            while start.elapsed() < MEASURED {
                op()?;
                device.wait()?;
            }
            Ok(amount(device.work().since(before)) as f64 / start.elapsed().as_secs_f64())
        };

        let (x, w) = (tensor(&[384, 1536])?, weight(&[1536, 1536])?);
        let linear = rate(|work| work.linear, &|| ops::linear(&x, &w, None, Activation::None, OutputType::F32))?;
        let (q, kv) = (tensor(&[256, 1536])?, KeyValue::new(tensor(&[1024, 1536])?, tensor(&[1024, 1536])?));
        let attention =
            rate(|work| work.attention, &|| ops::attention(&q, std::slice::from_ref(&kv), 12, 0.1, OutputType::F32))?;
        let (video, kernel) = (tensor(&[1, 48, 48, 96])?, weight(&[96, 96, 3, 3, 3])?);
        let params = Conv3dParams { stride: [1; 3], pad_front: 0, pad: [1; 4] };
        let tail = tensor(&[2, 48, 48, 96])?;
        let conv3d = rate(|work| work.conv3d, &|| ops::conv3d(&video, Some(&tail), &kernel, None, params))?;
        let (wide, gamma) = (tensor(&[1 << 14, 1024])?, tensor(&[1024])?);
        let moved = rate(|work| work.moved, &|| ops::channel_norm(&wide, &gamma, Activation::Silu, OutputType::F32))?;
        Ok(Self { linear, attention, conv3d, moved })
    }

    pub(super) fn seconds(&self, work: &Work) -> f64 {
        let Self { linear, attention, conv3d, moved } = *self;
        let parts = [(work.linear, linear), (work.attention, attention), (work.conv3d, conv3d), (work.moved, moved)];
        parts.iter().map(|&(amount, rate)| amount as f64 / rate).sum()
    }
}
