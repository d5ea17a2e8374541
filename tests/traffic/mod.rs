//! Bytes that a block of the transformer moves on a GPU: for the test and for the bench.

#![allow(dead_code, reason = "the test needs no figures but the ratio")]

use std::path::Path;

use zoetrope::models::{Configs, wan};
use zoetrope::rng::randn;
use zoetrope::weights::{Checkpoint, Mapping};
use zoetrope::{Device, Result, Tensor};

/// What one block of the bundled transformer moved, and the least that it could.
pub struct Traffic {
    /// Rows of the residual stream: tokens of both branches.
    pub rows: usize,
    /// Bytes of tensors that shaders were given, each operand once for each run.
    pub moved: u64,
    /// 26 + 2 F / D passes over the residual stream at two bytes a number: attention, both layers of the feed-forward part
    /// and their neighbours, everything else fused to what it stands beside.
    pub least: u64,
}

impl Traffic {
    /// Counts a block over `frames` latent frames of `side` by `side` positions, from a forward pass with two blocks and one
    /// with three: the first block's branches are one still.
    pub fn of_a_block(device: &Device, frames: usize, side: usize) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/bundled/checkpoint");
        let checkpoint = Checkpoint::open(&folder, Mapping::Map)?;
        let config = Configs::read(&checkpoint)?.transformer;
        let (weights, _) = checkpoint.component("transformer", &wan::name_table(&config))?;
        let Device::Vulkan(vulkan) = device else { unreachable!("bytes are counted on GPUs") };
        let shape = [config.in_channels, frames, side, side];
        let latent = Tensor::from_slice(device, shape, &randn(0, shape.iter().product()))?;
        let text = Tensor::from_slice(device, [7, config.text_dim], &randn(1, 7 * config.text_dim))?;
        let mut moved = [0; 2];
        for (moved, layers) in moved.iter_mut().zip([2, 3]) {
            let mut config = config.clone();
            config.num_layers = layers;
            let transformer = wan::Transformer::load(&weights, config, device)?;
            let texts = [transformer.context(&text)?, transformer.context(&text)?];
            let before = vulkan.traffic();
            transformer.forward(&latent, 500.0, &[&texts[0], &texts[1]])?;
            device.wait()?;
            *moved = vulkan.traffic() - before;
        }
        let [_, down, across] = config.patch_size;
        let rows = 2 * frames * (side / down) * (side / across);
        let width = config.num_attention_heads * config.attention_head_dim;
        let passes = 26.0 + 2.0 * config.ffn_dim as f64 / width as f64;
        let least = (passes * (2 * rows * width) as f64) as u64;
        Ok(Self { rows, moved: moved[1] - moved[0], least })
    }

    /// Bytes moved by the least.
    pub fn ratio(&self) -> f64 {
        self.moved as f64 / self.least as f64
    }
}
