//! The ops of decoding a latent, one latent frame at a time.

use zoetrope::models::wan_vae;

use super::piece::{Part, Piece};
use crate::case::{Case, Conv3d, ElementwiseKind, NormKind};

/// The decoder of an `AutoencoderKLWan`.
#[derive(Clone, Debug)]
pub struct Vae {
    latent: usize,
    /// Channels of the middle.
    middle: usize,
    levels: Vec<Level>,
    outputs: usize,
    /// Pixels along each side that come of one at the end.
    patch: usize,
    /// Whether what goes up goes past a level's blocks as well (Wan2.2).
    residual: bool,
}

/// One level of the decoder.
#[derive(Clone, Copy, Debug)]
struct Level {
    inputs: usize,
    outputs: usize,
    resnets: usize,
    up: Option<Up>,
}

/// How a level ends.
#[derive(Clone, Copy, Debug)]
struct Up {
    /// Channels of what comes out.
    channels: usize,
    /// Whether frames double as well.
    time: bool,
}

/// What decoding a latent frame has come to.
struct Frame<'a> {
    work: &'a mut Vec<Piece>,
    /// Which one.
    number: usize,
    frames: usize,
    height: usize,
    width: usize,
}

const ALL: [usize; 3] = [3, 3, 3];

impl Vae {
    /// Wan2.1's.
    pub fn wan21() -> Self {
        Self::halving(16, 96, &[1, 2, 4, 4], 3, &[true, true, false], 3)
    }

    /// Wan2.2's of the 5B model: nothing is halved, pixels come in squares of four.
    pub fn wan22() -> Self {
        let level = |inputs, outputs, time: Option<bool>| Level {
            inputs,
            outputs,
            resnets: 3,
            up: time.map(|time| Up { channels: outputs, time }),
        };
        let levels = vec![
            level(1024, 1024, Some(true)),
            level(1024, 1024, Some(true)),
            level(1024, 512, Some(false)),
            level(512, 256, None),
        ];
        Self { latent: 48, middle: 1024, levels, outputs: 12, patch: 2, residual: true }
    }

    /// What a checkpoint of Wan2.1's kind says.
    pub fn of(config: &wan_vae::Config) -> Self {
        let base = config.decoder_width() / config.dim_mult.last().copied().unwrap_or(1);
        let time: Vec<bool> = config.temperal_downsample.iter().rev().copied().collect();
        Self::halving(config.z_dim, base, &config.dim_mult, config.num_res_blocks + 1, &time, config.out_channels)
    }

    /// Steps up halve the channels; `time` tells of each, from the latent on, whether frames double.
    fn halving(latent: usize, base: usize, mult: &[usize], resnets: usize, time: &[bool], outputs: usize) -> Self {
        let middle = base * mult.last().copied().unwrap_or(1);
        let mut inputs = middle;
        let steps = time.iter().copied().map(Some).chain([None]);
        let levels = mult.iter().rev().zip(steps).map(|(mult, time)| {
            let channels = base * mult;
            let up = time.map(|time| Up { channels: channels / 2, time });
            let level = Level { inputs, outputs: channels, resnets, up };
            inputs = channels / 2;
            level
        });
        Self { latent, middle, levels: levels.collect(), outputs, patch: 1, residual: false }
    }

    /// Pixels along each side of a latent position.
    pub fn spatial(&self) -> usize {
        self.patch << self.levels.iter().filter(|level| level.up.is_some()).count()
    }

    /// Frames for each latent frame but the first.
    pub fn temporal(&self) -> usize {
        1 << self.levels.iter().filter(|level| level.up.is_some_and(|up| up.time)).count()
    }

    /// Elements of all matrices.
    pub fn weights(&self) -> usize {
        let mut work = Vec::new();
        // The second latent frame meets every layer.
        self.add_frame(&mut work, 1, 1, 1);
        let of = |piece: &Piece| match piece.case {
            Case::Conv3d(conv) => piece.count * conv.weights(),
            Case::Linear(linear) => piece.count * linear.k * linear.n,
            _ => 0,
        };
        work.iter().map(of).sum()
    }

    /// The ops of a latent.
    pub(super) fn add(&self, work: &mut Vec<Piece>, [frames, height, width]: [usize; 3]) {
        // From the third on all are alike, but for frames that a convolution over time has not seen yet.
        const DIFFERENT: usize = 4;
        for number in 0..frames.min(DIFFERENT) {
            let first = work.len();
            self.add_frame(work, number, height, width);
            if number + 1 == DIFFERENT {
                work[first..].iter_mut().for_each(|piece| piece.count *= frames - number);
            }
        }
        let latent = Case::elementwise(ElementwiseKind::Copy, frames * height * width, self.latent);
        work.push(Piece { part: Part::Vae, case: latent, count: 1 });
    }

    /// Bytes of tensors at one time, about, and of a single frame up to twice as many: the frames that convolutions
    /// remember, and the operands and result of the largest op.
    pub(super) fn memory(&self, [frames, height, width]: [usize; 3]) -> u64 {
        let mut work = Vec::new();
        self.add_frame(&mut work, frames.saturating_sub(1).min(2), height, width);
        let remembered = |piece: &Piece| match piece.case {
            Case::Conv3d(Conv3d { height, width, inputs, kernel, .. }) => {
                piece.count * (kernel[0] - 1) * height * width * inputs * size_of::<f32>()
            }
            _ => 0,
        };
        let all: usize = work.iter().map(remembered).sum();
        all as u64 + work.iter().map(|piece| piece.case.bytes(size_of::<f32>())).max().unwrap_or(0)
    }

    fn add_frame(&self, work: &mut Vec<Piece>, number: usize, height: usize, width: usize) {
        let mut frame = Frame { work, number, frames: 1, height, width };
        frame.elementwise(ElementwiseKind::Modulate, frame.pixels(), self.latent);
        frame.linear(self.latent, self.latent);
        frame.conv(self.latent, self.middle, ALL);
        frame.resnet(self.middle, self.middle);
        frame.attention(self.middle);
        frame.resnet(self.middle, self.middle);
        for level in &self.levels {
            for i in 0..level.resnets {
                frame.resnet(if i == 0 { level.inputs } else { level.outputs }, level.outputs);
            }
            let Some(up) = level.up else { continue };
            frame.up(level.outputs, up);
            if self.residual {
                // What came in is repeated to what goes out, and added.
                frame.elementwise(ElementwiseKind::Copy, frame.pixels(), up.channels);
                frame.elementwise(ElementwiseKind::Add, frame.pixels(), up.channels);
            }
        }
        let last = self.levels.last().map_or(self.middle, |level| level.outputs);
        frame.norm(NormKind::ChannelNormSilu, last);
        frame.conv(last, self.outputs, ALL);
        frame.elementwise(ElementwiseKind::Copy, frame.pixels(), self.outputs);
    }
}

impl Frame<'_> {
    fn pixels(&self) -> usize {
        self.frames * self.height * self.width
    }

    fn push(&mut self, case: Case, count: usize) {
        self.work.push(Piece { part: Part::Vae, case, count });
    }

    fn elementwise(&mut self, kind: ElementwiseKind, rows: usize, width: usize) {
        self.push(Case::elementwise(kind, rows, width), 1);
    }

    fn norm(&mut self, kind: NormKind, width: usize) {
        self.push(Case::norm(kind, self.pixels(), width), 1);
    }

    fn linear(&mut self, k: usize, n: usize) {
        self.push(Case::linear(self.pixels(), k, n), 1);
    }

    /// A causal convolution, which has seen one frame of the first latent frame and as many as there are now of the others.
    fn conv(&mut self, inputs: usize, outputs: usize, kernel: [usize; 3]) {
        let seen = if self.number == 0 { 0 } else { 1 + (self.number - 1) * self.frames };
        self.conv_after(inputs, outputs, kernel, seen);
    }

    fn conv_after(&mut self, inputs: usize, outputs: usize, kernel: [usize; 3], seen: usize) {
        let &mut Self { frames, height, width, .. } = self;
        let history = seen.min(kernel[0] - 1);
        self.push(Case::Conv3d(Conv3d { frames, height, width, inputs, outputs, kernel, history }), 1);
        // What it remembers is copied.
        let kept = (history + frames).min(kernel[0] - 1);
        if kept > 0 {
            self.elementwise(ElementwiseKind::Copy, kept * height * width, inputs);
        }
    }

    fn resnet(&mut self, inputs: usize, outputs: usize) {
        self.norm(NormKind::ChannelNormSilu, inputs);
        self.conv(inputs, outputs, ALL);
        self.norm(NormKind::ChannelNormSilu, outputs);
        if inputs != outputs {
            self.linear(inputs, outputs);
        }
        self.conv(outputs, outputs, ALL);
    }

    /// One head among the pixels of a frame.
    fn attention(&mut self, channels: usize) {
        self.norm(NormKind::ChannelNorm, channels);
        self.push(Case::linear(self.pixels(), channels, channels), 4);
        let pixels = self.height * self.width;
        self.push(Case::attention(1, channels, pixels, pixels), self.frames);
    }

    /// The first latent frame goes round the convolution over time, which does not see it either.
    fn up(&mut self, channels: usize, up: Up) {
        if up.time && self.number > 0 {
            self.conv_after(channels, 2 * channels, [3, 1, 1], (self.number - 1) * self.frames);
            self.frames *= 2;
            self.elementwise(ElementwiseKind::Copy, self.pixels(), channels);
        }
        self.elementwise(ElementwiseKind::Upsample, self.pixels(), channels);
        self.height *= 2;
        self.width *= 2;
        self.conv(channels, up.channels, [1, 3, 3]);
    }
}
