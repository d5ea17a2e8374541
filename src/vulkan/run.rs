//! Dispatches on tensors' buffers and weights.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::constants;
use super::copies::WeightCopy;
use super::dispatch::{BufferDispatch, BufferPart, DispatchParams, Input};
use super::memory::Block;
use super::shaders::FINITE;
use super::state::Vulkan;
use crate::device::work::Work;
use crate::error::Result;
use crate::weights::storage::Storage;

impl Vulkan {
    /// Dispatches a shader, after uploading the weights that it reads.
    pub(crate) fn run(&self, work: Work, dispatch: BufferDispatch) -> Result<()> {
        self.count(work);
        let BufferDispatch { shader, params, out, in_place, inputs } = dispatch;
        debug_assert_eq!(inputs.len() + 1, shader.bindings as usize, "{}", shader.name);
        debug_assert!(params.groups > 0, "{}", shader.name);
        let mut copies: SmallVec<[Option<Arc<WeightCopy>>; 4]> = SmallVec::new();
        for input in inputs {
            copies.push(match input {
                Input::Weight(weight, layout, _) => Some(self.weight(weight, *layout)?),
                _ => None,
            });
        }
        let size = |part: &BufferPart| part.bytes.end - part.bytes.start;
        let mut traffic = size(&out) * (1 + u64::from(in_place));
        let mut parts: SmallVec<[BufferPart; 8]> = SmallVec::new();
        parts.push(out.clone());
        for (input, copy) in inputs.iter().zip(&copies) {
            parts.push(match (input, copy) {
                (Input::Buffer(part), _) => {
                    traffic += size(part);
                    part.clone()
                }
                (Input::Weight(_, layout, range), Some(copy)) => {
                    BufferPart::of((&copy.block, range.start), range.len(), layout.storage)
                }
                // Any buffer will do.
                _ => out.clone(),
            });
        }
        self.0.traffic.fetch_add(traffic, Ordering::Relaxed);
        self.0.cooperative_runs.fetch_add(u64::from(shader.cooperative), Ordering::Relaxed);
        let copies: SmallVec<[&WeightCopy; 4]> = copies.iter().flatten().map(|copy| &**copy).collect();
        self.record(shader, &params, work.flop().saturating_add(work.moved), &parts, &copies)
    }

    /// Whether none of `len` numbers of F32 in a buffer, from its element `start` on, is NaN or infinite.
    pub(crate) fn is_finite(&self, block: &Block, start: usize, len: usize) -> Result<bool> {
        // The shader lowers a word of all ones to the place of a number that is not finite.
        const NONE: u32 = u32::MAX;
        const LOCAL: usize = 128;
        const EACH: usize = 16;
        let first = self.take(1)?;
        let found = self.upload(&first, 0, &[f32::from_bits(NONE)]).and_then(|()| {
            for part in self.parts(len, 1) {
                let params = DispatchParams {
                    constants: &[(constants::LOCAL_SIZE, LOCAL as u32), (constants::finite::EACH, EACH as u32)],
                    sizes: &[part.len() as u32],
                    scalars: &[],
                    groups: part.len().div_ceil(EACH * LOCAL),
                };
                let out = BufferPart::of((&first, 0), 1, Storage::F32);
                let x = BufferPart::of((block, start + part.start), part.len(), Storage::F32);
                let inputs = &[Input::Buffer(x)];
                self.run(Work::default(), BufferDispatch { shader: &FINITE, params, out, in_place: false, inputs })?;
            }
            self.download(&first, 0, 1)
        });
        self.give(first);
        Ok(found?[0].to_bits() == NONE)
    }
}
