//! The decoder of `AutoencoderKLWan`: causal, one latent frame at a time.

use super::config::{Config, Level, Upsample};
use super::resblock::{ResBlock, ResState};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{CausalConv3d, ChannelNorm, Conv2d, Linear, Tail, result_of};
use crate::ops::{self, Activation, KeyValue, OutputType};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// Numbers of the frames that pass the last level at a time, about, and how many frames these are at least: convolutions
/// of single frames would take longer.
const LARGE: usize = 16 << 20;
const LARGE_FRAMES: usize = 2;

/// The decoder of Wan's VAE.
///
/// Wan team, arXiv 2503.20314; diffusers' `autoencoder_kl_wan.py`.
pub struct Decoder {
    std: Tensor,             // [z]
    mean: Tensor,            // [z]
    post_quant_conv: Linear, // [z, z]
    conv_in: CausalConv3d,   // [C0, z, 3, 3, 3]
    mid: (ResBlock, MidAttention, ResBlock),
    ups: Vec<UpBlock>,
    norm_out: ChannelNorm,
    conv_out: CausalConv3d, // [3, C, 3, 3, 3]
    config: Config,
    weights: Weights,
}

/// What a [`Decoder`] remembers of the frames that it has decoded.
#[derive(Default)]
pub struct DecoderState {
    conv_in: Tail,
    mid: (ResState, ResState),
    ups: Vec<UpState>,
    conv_out: Tail,
}

impl Decoder {
    /// Loads the decoder from a checkpoint scope; kernels stay where they are stored.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a tensor is missing or misshapen.
    pub fn load(weights: &Weights, config: Config, device: &Device) -> Result<Self> {
        let weights = &weights.on(device);
        let z = config.z_dim;
        let decoder = weights.at("decoder");
        let levels = config.decoder_levels();
        let first = config.decoder_width();
        let last = levels.last().map_or(first, |level| level.outputs);
        let mid = decoder.at("mid_block");
        let up_blocks = decoder.at("up_blocks");
        let ups = levels.iter().enumerate().map(|(i, level)| UpBlock::load(&up_blocks.at(i), level, device));
        Ok(Self {
            std: Tensor::from_slice(device, [z], &config.latents_std)?,
            mean: Tensor::from_slice(device, [z], &config.latents_mean)?,
            post_quant_conv: Linear::load_patches(&weights.at("post_quant_conv"), z, &[1; 3], z, device)?,
            conv_in: CausalConv3d::load(&decoder.at("conv_in"), z, first, [3; 3], device)?,
            mid: (
                ResBlock::load(&mid.at("resnets.0"), first, first, device)?,
                MidAttention::load(&mid.at("attentions.0"), first, device)?,
                ResBlock::load(&mid.at("resnets.1"), first, first, device)?,
            ),
            ups: ups.collect::<Result<_>>()?,
            norm_out: ChannelNorm::load(&decoder.at("norm_out"), last, device)?,
            conv_out: CausalConv3d::load(&decoder.at("conv_out"), last, config.out_channels, [3; 3], device)?,
            config,
            weights: weights.clone(),
        })
    }

    /// Decodes `latent` `[C, T, H, W]`, normalised as the transformer leaves it and following the frames that `state`
    /// remembers, and hands on `[t, 8H, 8W, 3]` in -1..=1 for each of its frames: `t = 1` for the first of a video, then
    /// the temporal factor. (8 stands for the model's spatial factor.)
    ///
    /// The bits do not depend on how many frames a call brings.
    ///
    /// # Errors
    /// [`Error::Shape`] if the latent does not fit, [`Error::Checkpoint`] if the file changed, [`Error::NotFinite`],
    /// [`Error::Cancelled`], [`Error::OutOfMemory`], and whatever `emit` returns.
    pub fn decode(
        &self,
        state: &mut DecoderState,
        latent: &Tensor,
        emit: &mut dyn FnMut(Tensor) -> Result<()>,
    ) -> Result<()> {
        if latent.shape().rank() != 4 || latent.dims()[0] != self.config.z_dim {
            let right = [self.config.z_dim, 0, 0, 0].into();
            return Err(Error::Shape { op: "decode", left: latent.shape(), right, why: "a latent is [C, T, H, W]" });
        }
        let frames = ops::channels_last(latent)?;
        for t in 0..frames.dims()[0] {
            emit(self.decode_frame(state, frames.narrow(t..t + 1)?)?)?;
        }
        Ok(())
    }

    /// One latent frame `z` `[1, H, W, C]` of [`decode`](Self::decode).
    pub(crate) fn decode_frame(&self, state: &mut DecoderState, z: Tensor) -> Result<Tensor> {
        self.weights.check_unchanged()?;
        let z = ops::affine(z, &self.std, &self.mean)?;
        let mut x = self.conv_in.forward(&self.post_quant_conv.forward(&z)?, &mut state.conv_in)?;
        x = self.mid.0.forward(x, &mut state.mid.0)?;
        x = self.mid.1.forward(x)?;
        x = self.mid.2.forward(x, &mut state.mid.1)?;
        state.ups.resize_with(self.ups.len(), UpState::default);
        let last = self.ups.len() - 1;
        for (i, (up, state)) in self.ups.iter().zip(&mut state.ups).enumerate().take(last) {
            self.weights.check_unchanged()?;
            x = up.residual(x, state)?;
            if i + 1 < last {
                x = up.upsample(x, state)?;
            }
        }
        // The largest frames pass a few at a time: with all of them at once the decoder would need a third more memory.
        let frames = x.dims()[0];
        let each = 2 * x.shape().numel() / frames; // four times the pixels, half the channels
        let together = (LARGE / each.max(1)).max(LARGE_FRAMES);
        let parts = (0..frames).step_by(together).map(|t| t..frames.min(t + together));
        let mut video: Option<Tensor> = None;
        for part in parts {
            let part = self.decode_large(state, x.narrow(part)?)?;
            video = Some(match video {
                Some(video) => ops::concat(&[&video, &part])?,
                None => part,
            });
        }
        let video = video.expect("a latent frame becomes one frame or more");
        if !video.is_finite()? {
            return Err(Error::NotFinite { stage: "VAE decoder", step: None, layer: None });
        }
        ops::clamp(video, -1.0, 1.0)
    }

    /// The last upsampling and what follows it.
    fn decode_large(&self, state: &mut DecoderState, mut x: Tensor) -> Result<Tensor> {
        self.weights.check_unchanged()?;
        let last = self.ups.len() - 1;
        if let Some(before) = last.checked_sub(1) {
            x = self.ups[before].upsample(x, &mut state.ups[before])?;
        }
        x = self.ups[last].residual(x, &mut state.ups[last])?;
        x = self.ups[last].upsample(x, &mut state.ups[last])?;
        x = self.norm_out.forward_with(&x, Activation::Silu)?;
        self.conv_out.forward(&x, &mut state.conv_out)
    }
}

/// Single-head attention among the pixels of each frame.
struct MidAttention {
    name: String,
    norm: ChannelNorm,
    qkv: [Linear; 3], // [C, C] each, stored as one [3 C, C, 1, 1]
    proj: Linear,     // [C, C]
    scale: f32,
}

impl MidAttention {
    fn load(weights: &Weights, channels: usize, device: &Device) -> Result<Self> {
        let all = Linear::load_patches(&weights.at("to_qkv"), channels, &[1; 2], 3 * channels, device)?;
        let part = |i| all.rows(i * channels..(i + 1) * channels);
        Ok(Self {
            name: weights.scope().into(),
            norm: ChannelNorm::load(&weights.at("norm"), channels, device)?,
            qkv: [part(0)?, part(1)?, part(2)?],
            proj: Linear::load_patches(&weights.at("proj"), channels, &[1; 2], channels, device)?,
            scale: 1.0 / (channels as f32).sqrt(),
        })
    }

    /// `x` `[T, H, W, C]`.
    fn forward(&self, x: Tensor) -> Result<Tensor> {
        let &[frames, height, width, channels] = x.dims() else { unreachable!("a convolution's result has rank 4") };
        let pixels = height * width;
        let h = self.norm.forward(&x)?.reshape([frames * pixels, channels])?;
        let [q, k, v] = [&self.qkv[0], &self.qkv[1], &self.qkv[2]].map(|linear| linear.operand(&h));
        let (q, k, v) = (q?, k?, v?);
        let frame = |t| {
            let own = t * pixels..(t + 1) * pixels;
            Ok(KeyValue::new(k.narrow(own.clone())?, v.narrow(own)?))
        };
        let y = ops::attention(
            &q,
            &(0..frames).map(frame).collect::<Result<Vec<_>>>()?,
            1,
            self.scale,
            OutputType::Operand,
        )?;
        result_of(&self.name, self.proj.forward_add(x, 0, &y, None)?)
    }
}

/// Residual blocks, then an upsampling.
struct UpBlock {
    resnets: Vec<ResBlock>,
    upsampler: Option<Upsampler>,
}

#[derive(Default)]
struct UpState {
    resnets: Vec<ResState>,
    time: TimeState,
}

impl UpBlock {
    fn load(weights: &Weights, level: &Level, device: &Device) -> Result<Self> {
        let &Level { inputs, outputs, resnets, upsample } = level;
        let resnet = |i| {
            let inputs = if i == 0 { inputs } else { outputs };
            ResBlock::load(&weights.at("resnets").at(i), inputs, outputs, device)
        };
        let upsampler = weights.at("upsamplers.0");
        let upsampler = match upsample {
            Upsample::None => None,
            Upsample::Space => Some(Upsampler::load(&upsampler, outputs, false, device)?),
            Upsample::SpaceAndTime => Some(Upsampler::load(&upsampler, outputs, true, device)?),
        };
        Ok(Self { resnets: (0..resnets).map(resnet).collect::<Result<_>>()?, upsampler })
    }

    fn residual(&self, mut x: Tensor, state: &mut UpState) -> Result<Tensor> {
        state.resnets.resize_with(self.resnets.len(), ResState::default);
        for (resnet, state) in self.resnets.iter().zip(&mut state.resnets) {
            x = resnet.forward(x, state)?;
        }
        Ok(x)
    }

    fn upsample(&self, x: Tensor, state: &mut UpState) -> Result<Tensor> {
        match &self.upsampler {
            Some(upsampler) => upsampler.forward(x, &mut state.time),
            None => Ok(x),
        }
    }
}

/// Doubles height and width, and the frames if it has a convolution over time; halves the channels.
struct Upsampler {
    time_conv: Option<CausalConv3d>, // [2 C, C, 3, 1, 1]
    conv: Conv2d,                    // [C / 2, C, 3, 3]
}

/// What the upsampling over time remembers.
///
/// A video's first latent frame becomes one frame, not two: it goes round the convolution, which does not see it as
/// history either and starts on zeros with the second.
#[derive(Default)]
enum TimeState {
    #[default]
    FirstFrame,
    Later(Tail),
}

impl Upsampler {
    fn load(weights: &Weights, channels: usize, time: bool, device: &Device) -> Result<Self> {
        let time_conv =
            time.then(|| CausalConv3d::load(&weights.at("time_conv"), channels, 2 * channels, [3, 1, 1], device));
        let conv = Conv2d::load(&weights.at("resample.1"), channels, channels / 2, 3, device)?;
        Ok(Self { time_conv: time_conv.transpose()?, conv })
    }

    fn forward(&self, mut x: Tensor, state: &mut TimeState) -> Result<Tensor> {
        if let Some(time_conv) = &self.time_conv {
            match state {
                TimeState::FirstFrame => *state = TimeState::Later(Tail::Start),
                TimeState::Later(tail) => x = ops::interleave_frames(&time_conv.forward(&x, tail)?)?,
            }
        }
        let x = ops::upsample_nearest(&x, [2, 2])?;
        self.conv.forward(&x)
    }
}
