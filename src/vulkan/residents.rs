//! Weights on the device: copied when an op first uses them.
//!
//! A model that does not fit is streamed so, matrix by matrix: a step uploads again what was evicted.

use std::sync::{Arc, PoisonError};

use super::constants;
use super::copies::WeightCopy;
use super::dispatch::{BufferPart, DispatchParams};
use super::layout::GpuLayout;
use super::memory::{Block, Memory};
use super::open::fault;
use super::shaders::HALVES;
use super::state::{NUMBER, Vulkan};
use crate::error::{DeviceFault, Result};
use crate::weights::storage::Storage;
use crate::weights::weight::Weight;

/// Bytes of a weight that are uploaded at a time where the device converts them.
const PART_BYTES: usize = 8 << 20;
/// Invocations of a workgroup that does.
const LOCAL: usize = 128;

impl Vulkan {
    /// How a weight lies on this device: ops decide by it which shader reads the weight, and uploads follow.
    ///
    /// A device at half precision rounds weights to F16 too, if they fit.
    pub(crate) fn layout(&self, weight: &Weight) -> GpuLayout {
        let (channels, _) = channels_and_taps(weight);
        let fits = || channels > 0 && channels.is_multiple_of(8) && weight.fits_f16();
        if self.cooperative().is_some() && fits() {
            GpuLayout { storage: Storage::F16, cooperative: true }
        } else {
            GpuLayout { storage: weight.storage(), cooperative: false }
        }
    }

    /// A weight's copy on this device in this layout, made if there is none.
    pub(super) fn weight(&self, weight: &Weight, layout: GpuLayout) -> Result<Arc<WeightCopy>> {
        let used = self.0.residents.next_use();
        let mut slot = weight.slot().lock().unwrap_or_else(PoisonError::into_inner);
        let copy = slot.clone().and_then(|held| WeightCopy::of(held, &self.0.pool));
        if let Some(copy) = copy.filter(|copy| copy.layout == layout) {
            copy.touch(used);
            return Ok(copy);
        }
        if !layout.is_decoded() {
            let why = format!(
                "{} is stored as {}, which shaders do not decode; take --device cpu",
                weight.name(),
                layout.storage
            );
            return Err(fault(DeviceFault::Unusable, why));
        }
        let bytes = Memory::round(layout.storage.bytes_of(weight.shape().numel()) as u64);
        let block = self.reserve(bytes)?;
        // From here on it is given back on drop.
        let copy = Arc::new(WeightCopy::new(block, layout, bytes, used, self.0.pool.clone()));
        let (_, taps) = channels_and_taps(weight);
        if layout.cooperative && (taps > 1 || weight.storage() != layout.storage) {
            self.upload_f16(&copy.block, weight)?;
        } else {
            self.upload_bytes(&copy.block, 0, weight.bytes())?;
        }
        copy.mark(self.line().stream.next());
        *slot = Some(copy.clone());
        drop(slot);
        self.0.residents.add(weight.slot());
        Ok(copy)
    }

    /// Uploads a weight and has the device convert it to F16, some of its rows at a time: in place where the elements are as long.
    fn upload_f16(&self, to: &Block, weight: &Weight) -> Result<()> {
        let (channels, taps) = channels_and_taps(weight);
        let (row, storage) = (channels * taps, weight.storage());
        let row_bytes = storage.bytes_of(row);
        let rows = (PART_BYTES / row_bytes).max(1);
        if taps == 1 && row_bytes == Storage::F16.bytes_of(row) {
            self.upload_bytes(to, 0, weight.bytes())?;
            return (0..weight.shape().numel()).step_by(rows * row).try_for_each(|first| {
                let count = (rows * row).min(weight.shape().numel() - first);
                self.convert_to_f16(storage, (to, first), (to, first), [count, taps, channels])
            });
        }
        let staged = self.take((rows * row_bytes).min(weight.bytes().len()).div_ceil(NUMBER))?;
        let converted = weight.bytes().chunks(rows * row_bytes).enumerate().try_for_each(|(i, bytes)| {
            self.upload_bytes(&staged, 0, bytes)?;
            self.convert_to_f16(
                storage,
                (&staged, 0),
                (to, i * rows * row),
                [storage.view(bytes).len(), taps, channels],
            )
        });
        self.give(staged);
        converted
    }

    /// Dispatches the shader on elements of these buffers from some on; `sizes` are their number, taps and channels.
    fn convert_to_f16(
        &self,
        storage: Storage,
        from: (&Block, usize),
        to: (&Block, usize),
        sizes: [usize; 3],
    ) -> Result<()> {
        let [count, ..] = sizes;
        let params = DispatchParams {
            constants: &[(constants::LOCAL_SIZE, LOCAL as u32), (constants::halves::WEIGHT, storage.shader_constant())],
            sizes: &sizes.map(|size| size as u32),
            scalars: &[],
            groups: count.div_ceil(8 * LOCAL),
        };
        let cost = (storage.bytes_of(count) + Storage::F16.bytes_of(count)) as u64;
        let parts = [BufferPart::of(to, count, Storage::F16), BufferPart::of(from, count, storage)];
        self.record(&HALVES, &params, cost, &parts, &[])
    }
}

/// Terms of a weight's rows that lie side by side where cooperative matrices load them, and how often: a kernel's channels and taps.
/// Of weights for other ops, none.
fn channels_and_taps(weight: &Weight) -> (usize, usize) {
    match *weight.shape().dims() {
        [_, terms] => (terms, 1),
        [_, channels, ref taps @ ..] if taps.len() == 3 => (channels, taps.iter().product()),
        _ => (0, 1),
    }
}
