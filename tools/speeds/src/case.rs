//! One op at one shape: what a row of results is about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// An op with its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "op", content = "shape", rename_all = "snake_case")]
pub enum Case {
    /// A fully connected layer.
    Linear(Linear),
    /// Attention of one branch.
    Attention(Attention),
    /// A causal convolution.
    Conv3d(Conv3d),
    /// A norm over the last axis.
    Norm(Norm),
    /// An op without sums, bound by memory.
    Elementwise(Elementwise),
}

/// `[rows, k]` by `[n, k]`, with bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Linear {
    /// Rows of the input.
    pub rows: usize,
    /// Columns of the input.
    pub k: usize,
    /// Columns of the result.
    pub n: usize,
}

/// `softmax(q kᵀ / sqrt(head_dim)) v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attention {
    /// Heads side by side in a row.
    pub heads: usize,
    /// Numbers of one head.
    pub head_dim: usize,
    /// Rows of the queries.
    pub queries: usize,
    /// Rows of keys and values.
    pub keys: usize,
}

/// A convolution with "same" padding in space that sees no future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv3d {
    /// Frames of input and result.
    pub frames: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the result.
    pub outputs: usize,
    /// Taps in time, height and width.
    pub kernel: [usize; 3],
    /// Earlier frames that the first taps in time meet; zeros stand where there are fewer than taps.
    pub history: usize,
}

/// A norm of `rows` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Norm {
    /// Which.
    pub kind: NormKind,
    /// Rows.
    pub rows: usize,
    /// Numbers of a row.
    pub width: usize,
}

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Layer norm without weight and bias.
    LayerNorm,
    /// Layer norm with weight and bias.
    LayerNormAffine,
    /// RMS norm.
    RmsNorm,
    /// The VAE's norm over channels.
    ChannelNorm,
    /// The VAE's norm over channels with the SiLU that follows it.
    ChannelNormSilu,
}

/// An op without sums on `rows` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Elementwise {
    /// Which.
    pub kind: ElementwiseKind,
    /// Rows of the first operand.
    pub rows: usize,
    /// Numbers of a row.
    pub width: usize,
}

/// Which op without sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElementwiseKind {
    /// `x + y`.
    Add,
    /// `x * y`.
    Mul,
    /// `x + y * gate`.
    GatedAdd,
    /// `x * (1 + scale) + shift`.
    Modulate,
    /// Rotation of pairs, heads of 128.
    Rope,
    /// A plain copy.
    Copy,
    /// Every pixel four times; rows are those of the input.
    Upsample,
}

/// The groups that rows are chosen and compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Fully connected layers.
    Linear,
    /// Attention.
    Attention,
    /// Convolutions.
    Conv3d,
    /// Norms.
    Norm,
    /// Ops without sums.
    Elementwise,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Linear, Self::Attention, Self::Conv3d, Self::Norm, Self::Elementwise];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Attention => "attention",
            Self::Conv3d => "conv3d",
            Self::Norm => "norm",
            Self::Elementwise => "elementwise",
        }
    }
}

impl FromStr for Op {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let refuse = || Error::Request { what: "ops", why: format!("{text:?} is not one of {}", names()) };
        Self::ALL.into_iter().find(|op| op.name() == text).ok_or_else(refuse)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes of a number in a tensor.
const NUMBER: u64 = size_of::<f32>() as u64;

impl Case {
    /// A fully connected layer.
    pub const fn linear(rows: usize, k: usize, n: usize) -> Self {
        Self::Linear(Linear { rows, k, n })
    }

    /// Attention.
    pub const fn attention(heads: usize, head_dim: usize, queries: usize, keys: usize) -> Self {
        Self::Attention(Attention { heads, head_dim, queries, keys })
    }

    /// A convolution of `[frames, height, width]` with these channels and taps, after all the frames that it can see.
    pub const fn conv3d(size: [usize; 3], channels: [usize; 2], kernel: [usize; 3]) -> Self {
        let ([frames, height, width], [inputs, outputs]) = (size, channels);
        Self::Conv3d(Conv3d { frames, height, width, inputs, outputs, kernel, history: kernel[0] - 1 })
    }

    /// A norm.
    pub const fn norm(kind: NormKind, rows: usize, width: usize) -> Self {
        Self::Norm(Norm { kind, rows, width })
    }

    /// An op without sums.
    pub const fn elementwise(kind: ElementwiseKind, rows: usize, width: usize) -> Self {
        Self::Elementwise(Elementwise { kind, rows, width })
    }

    /// The group that it belongs to.
    pub fn op(&self) -> Op {
        match self {
            Self::Linear(_) => Op::Linear,
            Self::Attention(_) => Op::Attention,
            Self::Conv3d(_) => Op::Conv3d,
            Self::Norm(_) => Op::Norm,
            Self::Elementwise(_) => Op::Elementwise,
        }
    }

    /// Whether it reads a weight, whose storage type then matters.
    pub fn has_weight(&self) -> bool {
        matches!(self, Self::Linear(_) | Self::Conv3d(_))
    }

    /// Floating-point operations; those of norms and of ops without sums are nominal, a root, quotient or exponential
    /// counting as one. Taps on frames of zeros are left out.
    pub fn flop(&self) -> u64 {
        let product = |factors: &[usize]| factors.iter().map(|&factor| factor as u64).product::<u64>();
        match *self {
            Self::Linear(Linear { rows, k, n }) => product(&[2, rows, k, n]),
            Self::Attention(Attention { heads, head_dim, queries, keys }) => {
                product(&[4, heads, head_dim, queries, keys])
            }
            Self::Conv3d(conv) => {
                let Conv3d { height, width, inputs, outputs, kernel: [_, kh, kw], .. } = conv;
                product(&[2, conv.taps_in_time(), kh, kw, inputs, outputs, height, width])
            }
            Self::Norm(Norm { kind, rows, width }) => product(&[kind.flop(), rows, width]),
            Self::Elementwise(Elementwise { kind, rows, width }) => product(&[kind.flop(), rows, width]),
        }
    }

    /// Bytes that have to be read and written once, with weights of `stored` bytes an element and all else F32.
    pub fn bytes(&self, stored: usize) -> u64 {
        self.bytes_with(stored, NUMBER as usize)
    }

    /// The same with operands of products, and what is made for products to read, of `kept` bytes an element.
    pub fn bytes_with(&self, stored: usize, kept: usize) -> u64 {
        let result = match self {
            // Convolutions add to the residual stream.
            Self::Conv3d(_) | Self::Elementwise(_) => NUMBER,
            Self::Linear(_) | Self::Attention(_) | Self::Norm(_) => kept as u64,
        };
        self.read(stored, kept) + result * self.outputs()
    }

    /// Bytes of its operands.
    fn read(&self, stored: usize, kept: usize) -> u64 {
        let (stored, kept) = (stored as u64, kept as u64);
        match *self {
            Self::Linear(Linear { rows, k, n }) => {
                let [rows, k, n] = [rows, k, n].map(|size| size as u64);
                kept * rows * k + NUMBER * n + stored * n * k
            }
            Self::Attention(Attention { heads, head_dim, queries, keys }) => {
                kept * (heads * head_dim * (queries + 2 * keys)) as u64
            }
            Self::Conv3d(conv) => {
                let pixels = (conv.frames + conv.history) * conv.height * conv.width;
                kept * (pixels * conv.inputs) as u64 + NUMBER * conv.outputs as u64 + stored * conv.weights() as u64
            }
            Self::Norm(Norm { kind, rows, width }) => NUMBER * (rows * width + kind.vectors() * width) as u64,
            Self::Elementwise(Elementwise { kind, rows, width }) => {
                let numbers = match kind {
                    ElementwiseKind::Add | ElementwiseKind::Mul => 2 * rows * width,
                    ElementwiseKind::GatedAdd => 2 * rows * width + width,
                    ElementwiseKind::Modulate => rows * width + 2 * width,
                    // Cosines and sines of half a head.
                    ElementwiseKind::Rope => rows * width + rows * ROPE_HEAD.min(width),
                    ElementwiseKind::Copy | ElementwiseKind::Upsample => rows * width,
                };
                NUMBER * numbers as u64
            }
        }
    }

    /// Numbers of its result.
    pub fn outputs(&self) -> u64 {
        let numbers = match *self {
            Self::Linear(Linear { rows, n, .. }) => rows * n,
            Self::Attention(Attention { heads, head_dim, queries, .. }) => queries * heads * head_dim,
            Self::Conv3d(conv) => conv.frames * conv.height * conv.width * conv.outputs,
            Self::Norm(Norm { rows, width, .. }) => rows * width,
            Self::Elementwise(Elementwise { kind, rows, width }) => {
                if kind == ElementwiseKind::Upsample {
                    4 * rows * width
                } else {
                    rows * width
                }
            }
        };
        numbers as u64
    }

    /// The kernel within the group: a kind of norm or the name of the op.
    pub fn kernel(&self) -> &'static str {
        match self {
            Self::Norm(norm) => norm.kind.name(),
            Self::Elementwise(op) => op.kind.name(),
            _ => self.op().name(),
        }
    }

    /// The sizes as a person writes them.
    pub fn sizes(&self) -> String {
        match *self {
            Self::Linear(Linear { rows, k, n }) => format!("{rows}x{k}x{n}"),
            Self::Attention(Attention { heads, head_dim, queries, keys }) => {
                format!("{heads}x{head_dim}, {queries} by {keys}")
            }
            Self::Conv3d(conv) => {
                let Conv3d { frames, height, width, inputs, outputs, kernel: [kt, kh, kw], .. } = conv;
                format!("{frames}x{height}x{width}, {inputs} to {outputs}, {kt}x{kh}x{kw}")
            }
            Self::Norm(Norm { rows, width, .. }) | Self::Elementwise(Elementwise { rows, width, .. }) => {
                format!("{rows}x{width}")
            }
        }
    }
}

/// The width of a head that rows of rope have, or all of a narrower row.
pub const ROPE_HEAD: usize = 128;

impl Conv3d {
    /// Elements of the weight.
    pub fn weights(&self) -> usize {
        self.kernel.iter().product::<usize>() * self.inputs * self.outputs
    }

    /// Taps in time that meet a frame, over all frames of the result.
    fn taps_in_time(&self) -> usize {
        let taps = self.kernel[0];
        (0..self.frames).map(|frame| taps.min(frame + 1 + self.history)).sum()
    }
}

impl NormKind {
    fn name(self) -> &'static str {
        match self {
            Self::LayerNorm => "layer_norm",
            Self::LayerNormAffine => "layer_norm, affine",
            Self::RmsNorm => "rms_norm",
            Self::ChannelNorm => "channel_norm",
            Self::ChannelNormSilu => "channel_norm, silu",
        }
    }

    /// For each number.
    fn flop(self) -> usize {
        match self {
            Self::LayerNorm => 5,
            Self::LayerNormAffine => 7,
            Self::RmsNorm | Self::ChannelNorm => 4,
            Self::ChannelNormSilu => 8,
        }
    }

    /// Rows of weights that are read.
    fn vectors(self) -> usize {
        match self {
            Self::LayerNorm => 0,
            Self::LayerNormAffine => 2,
            Self::RmsNorm | Self::ChannelNorm | Self::ChannelNormSilu => 1,
        }
    }
}

impl ElementwiseKind {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Mul => "mul",
            Self::GatedAdd => "gated_add",
            Self::Modulate => "modulate",
            Self::Rope => "rope",
            Self::Copy => "copy",
            Self::Upsample => "upsample_nearest",
        }
    }

    /// For each number of the first operand.
    fn flop(self) -> usize {
        match self {
            Self::Add | Self::Mul => 1,
            Self::GatedAdd | Self::Modulate => 2,
            Self::Rope => 3,
            Self::Copy | Self::Upsample => 0,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kernel(), self.sizes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_that_of_the_formulas() {
        assert_eq!(Case::linear(4096, 1536, 8960).flop(), 2 * 4096 * 1536 * 8960);
        assert_eq!(Case::attention(12, 128, 32760, 32760).flop(), 4 * 32760 * 32760 * 1536);
        let conv = Case::conv3d([4, 480, 832], [96, 96], [3, 3, 3]);
        assert_eq!(conv.flop(), 2 * 27 * 96 * 96 * 4 * 480 * 832);
        assert_eq!(Case::linear(2, 3, 5).bytes(2), 4 * (6 + 5) + 2 * 15 + 4 * 10);
        assert_eq!(Case::linear(2, 3, 5).bytes_with(2, 2), 2 * 6 + 4 * 5 + 2 * 15 + 2 * 10);
    }

    #[test]
    fn frames_of_zeros_are_no_work() {
        let conv = |frames, history| {
            let Case::Conv3d(conv) = Case::conv3d([frames, 2, 2], [1, 1], [3, 1, 1]) else { unreachable!() };
            Case::Conv3d(Conv3d { history, ..conv }).flop() / 8
        };
        assert_eq!((conv(1, 0), conv(1, 1), conv(1, 2), conv(4, 0), conv(4, 1)), (1, 2, 3, 9, 11));
    }

    #[test]
    fn a_case_is_written_with_op_and_shape_and_read_again() {
        let cases = [
            Case::linear(1, 2, 3),
            Case::norm(NormKind::ChannelNormSilu, 4, 5),
            Case::elementwise(ElementwiseKind::GatedAdd, 6, 7),
        ];
        for case in cases {
            let text = serde_json::to_string(&case).unwrap();
            assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), case);
        }
        assert_eq!(
            serde_json::to_string(&Case::linear(1, 2, 3)).unwrap(),
            r#"{"op":"linear","shape":{"rows":1,"k":2,"n":3}}"#
        );
    }
}
