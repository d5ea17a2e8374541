//! The sizes that every device is tested on: the models' own proportions made small, and every edge that a kernel has.
//!
//! A case is data. Its methods make the inputs (always the same ones) and ask the oracle what should come out, so a test is
//! one loop: run the op on the case's inputs, then `compare::agree` with `want`.

use super::compare::Limit;
use super::data::{Fill, Random, Storage, Weight, normal};
use super::reference::{self, Act, AttentionSizes, Conv3dSizes, ScoreBias};

use Fill::{Constant, Normal, Offset, Scaled, Wide};
use Storage::{BF16, F16, F32};

/// x `[rows, k]` times w `[n, k]`.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    pub rows: usize,
    pub k: usize,
    pub n: usize,
    pub storage: Storage,
    pub bias: bool,
    pub act: Act,
    pub fill: Fill,
}

const fn linear(rows: usize, k: usize, n: usize, storage: Storage, bias: bool, act: Act, fill: Fill) -> Linear {
    Linear { rows, k, n, storage, bias, act, fill }
}

pub const LINEAR: &[Linear] = &[
    linear(1, 1, 1, F32, true, Act::None, Normal),
    linear(1, 7, 5, BF16, false, Act::Silu, Normal),
    linear(1, 1536, 61, F16, true, Act::None, Normal),
    linear(2, 3, 300, F32, true, Act::None, Normal),
    linear(3, 17, 33, BF16, true, Act::GeluTanh, Normal),
    linear(5, 64, 16, F32, true, Act::Silu, Normal),
    linear(6, 16, 16, F16, false, Act::None, Normal),
    linear(7, 1, 9, F32, false, Act::None, Normal),
    linear(13, 129, 65, F16, true, Act::GeluTanh, Normal),
    linear(24, 96, 288, BF16, false, Act::None, Normal),
    linear(31, 40, 1, F32, true, Act::None, Normal),
    linear(70, 300, 129, F32, false, Act::GeluTanh, Normal),
    linear(97, 1100, 50, BF16, true, Act::None, Normal),
    linear(301, 65, 47, F16, true, Act::Silu, Normal),
    // Rows of whole eights, for cooperative matrices.
    linear(70, 264, 129, F16, false, Act::GeluTanh, Normal),
    linear(130, 72, 150, BF16, true, Act::Silu, Normal),
    linear(67, 40, 33, F32, true, Act::None, Normal),
    // Weights down to the subnormal half-precision numbers, and up to 1e4.
    linear(19, 83, 41, F16, true, Act::None, Wide),
    linear(19, 83, 41, BF16, false, Act::None, Wide),
    linear(4, 33, 18, F32, false, Act::None, Scaled(1e15)),
    linear(4, 33, 18, F32, false, Act::None, Constant(0.0)),
    linear(0, 8, 8, F32, true, Act::None, Normal),
];

impl Linear {
    pub fn x(&self) -> Vec<f32> {
        self.fill.make(1, self.rows * self.k)
    }

    pub fn w(&self) -> Weight {
        let fill = if self.fill == Wide { Wide } else { Scaled((self.k as f64).powf(-0.5)) };
        Weight::new(&fill.make(2, self.n * self.k), self.storage)
    }

    pub fn bias(&self) -> Option<Vec<f32>> {
        self.bias.then(|| normal(3, self.n))
    }

    /// Weights are scaled so that the sums are of the size of x.
    pub fn limit(&self) -> Limit {
        Limit::F32.of_terms(if self.fill == Normal { 1.0 } else { 0.0 })
    }

    pub fn want(&self) -> Vec<f64> {
        let (x, w, bias) = (self.x(), self.w().values(), self.bias());
        reference::linear(&x, &w, self.rows, self.k, self.n, bias.as_deref(), self.act)
    }
}

/// Which bias an attention case has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BiasKind {
    /// None.
    None,
    /// One number a key.
    PerKey,
    /// [`BiasKind::PerKey`] with two thirds of the keys hidden, the first ones, by this number: minus infinity, or the
    /// lowest finite one as in UMT5.
    FirstKeysHidden(f32),
    /// One number for each head, query and key.
    PerHead,
}

/// Attention with heads side by side in a row, `gap` elements after each row and `spare` rows after the last key.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    pub heads: usize,
    pub head_dim: usize,
    pub queries: usize,
    pub keys: usize,
    pub bias: BiasKind,
    pub gap: usize,
    pub spare: usize,
    pub q: Fill,
}

const fn attention(
    [heads, head_dim]: [usize; 2],
    [queries, keys]: [usize; 2],
    bias: BiasKind,
    gap: usize,
    spare: usize,
    q: Fill,
) -> Attention {
    Attention { heads, head_dim, queries, keys, bias, gap, spare, q }
}

pub const ATTENTION: &[Attention] = &[
    attention([1, 8], [1, 1], BiasKind::None, 0, 0, Normal),
    attention([1, 384], [35, 35], BiasKind::None, 0, 0, Normal),
    attention([1, 384], [20, 67], BiasKind::None, 768, 0, Normal),
    attention([2, 128], [33, 77], BiasKind::None, 0, 3, Normal),
    attention([3, 128], [65, 200], BiasKind::PerKey, 5, 0, Normal),
    attention([3, 24], [7, 19], BiasKind::PerKey, 0, 1, Normal),
    attention([2, 44], [5, 130], BiasKind::PerHead, 88, 0, Normal),
    attention([5, 64], [29, 29], BiasKind::PerHead, 0, 0, Normal),
    attention([12, 8], [3, 100], BiasKind::None, 1, 2, Normal),
    attention([2, 1], [3, 5], BiasKind::None, 0, 0, Normal),
    attention([1, 6], [300, 3], BiasKind::None, 0, 0, Normal),
    attention([2, 24], [40, 300], BiasKind::FirstKeysHidden(f32::MIN), 0, 0, Normal),
    attention([2, 24], [17, 700], BiasKind::FirstKeysHidden(f32::NEG_INFINITY), 0, 0, Normal),
    // One key takes nearly everything; scores of some hundreds.
    attention([2, 24], [9, 150], BiasKind::None, 0, 0, Scaled(100.0)),
    // Scores of 1e6: exp of anything but the difference to the largest overflows.
    attention([1, 44], [6, 11], BiasKind::None, 0, 0, Scaled(1e6)),
    attention([1, 24], [9, 70], BiasKind::None, 0, 0, Constant(0.0)),
];

impl Attention {
    /// The width of a dense row.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The distance between two rows of q, k, v and of a strided result.
    pub fn stride(&self) -> usize {
        self.width() + self.gap
    }

    pub fn sizes(&self) -> AttentionSizes {
        AttentionSizes {
            heads: self.heads,
            head_dim: self.head_dim,
            queries: self.queries,
            keys: self.keys,
            q_stride: self.stride(),
            kv_stride: self.stride(),
            scale: self.scale().into(),
        }
    }

    pub fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }

    /// Rows with NaN in the gaps and in the spare rows: a kernel that reads them is found out.
    fn rows(&self, fill: Fill, seed: u64, rows: usize, spare: usize) -> Vec<f32> {
        let mut values = fill.make(seed, rows * self.width()).into_iter();
        let row_of = |i: usize| (i / self.stride(), i % self.stride());
        (0..(rows + spare) * self.stride())
            .map(|i| match row_of(i) {
                (row, column) if row < rows && column < self.width() => values.next().expect("a value for each"),
                _ => f32::NAN,
            })
            .collect()
    }

    pub fn q(&self) -> Vec<f32> {
        self.rows(self.q, 11, self.queries, 0)
    }

    pub fn k(&self) -> Vec<f32> {
        self.rows(Normal, 12, self.keys, self.spare)
    }

    pub fn v(&self) -> Vec<f32> {
        self.rows(Normal, 13, self.keys, self.spare)
    }

    /// The bias's numbers, `[keys]` or `[heads, queries, keys]`; none for [`BiasKind::None`].
    pub fn bias_values(&self) -> Vec<f32> {
        match self.bias {
            BiasKind::None => Vec::new(),
            BiasKind::PerKey => Scaled(2.0).make(14, self.keys),
            BiasKind::FirstKeysHidden(by) => {
                let hidden = self.keys * 2 / 3;
                (0..self.keys).map(|key| if key < hidden { by } else { 0.0 }).collect()
            }
            BiasKind::PerHead => Scaled(2.0).make(14, self.heads * self.queries * self.keys),
        }
    }

    /// A score is off by what a sum of head_dim products in f32 is off by (0.4 sqrt(head_dim) 2^-24 for a score of 1, 5e-7
    /// at 384), the softmax's weights are off by as much relative to themselves, and a larger score by as much more.
    pub fn limit(&self) -> Limit {
        let limit = Limit::F32.times(2.0);
        match self.q {
            // Beyond, one key is so far ahead that its value is the result.
            Scaled(scale) if scale < 1e4 => limit.times(scale),
            _ => limit.of_terms(0.1),
        }
    }

    /// Dense, `[queries, heads * head_dim]`.
    pub fn want(&self) -> Vec<f64> {
        let values = self.bias_values();
        let bias = match self.bias {
            BiasKind::None => ScoreBias::None,
            BiasKind::PerKey | BiasKind::FirstKeysHidden(_) => ScoreBias::PerKey(&values),
            BiasKind::PerHead => ScoreBias::PerHead(&values),
        };
        reference::attention(self.sizes(), &self.q(), &self.k(), &self.v(), bias)
    }
}

/// A causal convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv3d {
    pub sizes: Conv3dSizes,
    pub storage: Storage,
    pub bias: bool,
}

/// `thw` and `channels` (in, out), then kernel and stride, `front` (frames of zeros, frames of tail), padding.
const fn conv(
    [frames, height, width]: [usize; 3],
    [in_channels, out_channels]: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    [pad_front, tail_frames]: [usize; 2],
    pad: [usize; 4],
    storage: Storage,
    bias: bool,
) -> Conv3d {
    let sizes =
        Conv3dSizes { frames, height, width, in_channels, out_channels, kernel, stride, tail_frames, pad_front, pad };
    Conv3d { sizes, storage, bias }
}

pub const CONV3D: &[Conv3d] = &[
    // The VAE's causal convolution: first frame, second chunk, a chunk with its whole history.
    conv([1, 5, 7], [8, 16], [3, 3, 3], [1, 1, 1], [2, 0], [1; 4], F32, true),
    conv([1, 6, 5], [17, 23], [3, 3, 3], [1, 1, 1], [1, 1], [1; 4], BF16, true),
    conv([4, 7, 9], [24, 24], [3, 3, 3], [1, 1, 1], [0, 2], [1; 4], F16, true),
    conv([2, 9, 30], [40, 33], [3, 3, 3], [1, 1, 1], [0, 2], [1; 4], F32, false),
    conv([2, 3, 75], [16, 19], [3, 3, 3], [1, 1, 1], [2, 0], [1; 4], F32, true),
    // Its first and last layers: three channels on one side.
    conv([2, 6, 11], [3, 40], [3, 3, 3], [1, 1, 1], [2, 0], [1; 4], F32, true),
    conv([2, 11, 6], [40, 3], [3, 3, 3], [1, 1, 1], [0, 2], [1; 4], F16, true),
    // Space only, time only, one point.
    conv([3, 8, 6], [12, 20], [1, 3, 3], [1, 1, 1], [0, 0], [1; 4], BF16, true),
    conv([3, 4, 5], [12, 24], [3, 1, 1], [1, 1, 1], [0, 2], [0; 4], F32, true),
    conv([1, 4, 5], [12, 24], [3, 1, 1], [1, 1, 1], [2, 0], [0; 4], F32, true),
    conv([2, 4, 5], [16, 32], [1, 1, 1], [1, 1, 1], [0, 0], [0; 4], F32, true),
    // The encoder's halvings: one zero at the bottom and at the right; two frames at a time after one of history.
    conv([1, 8, 10], [16, 16], [1, 3, 3], [1, 2, 2], [0, 0], [0, 1, 0, 1], F32, true),
    conv([2, 7, 9], [9, 10], [1, 3, 3], [1, 2, 2], [0, 0], [0, 1, 0, 1], BF16, true),
    conv([4, 3, 5], [16, 16], [3, 1, 1], [2, 1, 1], [0, 1], [0; 4], F32, true),
    // The transformer's patch embedding.
    conv([2, 6, 8], [16, 48], [1, 2, 2], [1, 2, 2], [0, 0], [0; 4], F32, true),
    // Every padding another, a kernel larger than the image, one pixel.
    conv([2, 4, 3], [5, 7], [2, 4, 3], [1, 2, 1], [1, 1], [3, 0, 1, 2], F32, false),
    conv([1, 1, 1], [4, 4], [3, 3, 3], [1, 1, 1], [2, 0], [1; 4], F32, true),
    conv([1, 2, 1], [1, 1], [3, 5, 5], [1, 1, 1], [2, 0], [2; 4], F32, true),
    // Frames that see nothing but zeros, under one tap and under several; then no other frame at all.
    conv([1, 2, 3], [4, 5], [1, 1, 1], [1, 1, 1], [2, 0], [0; 4], F32, true),
    conv([1, 3, 2], [4, 5], [1, 3, 3], [1, 1, 1], [1, 0], [1; 4], BF16, false),
    conv([1, 2, 3], [4, 5], [1, 1, 1], [2, 1, 1], [1, 0], [0; 4], F32, true),
    conv([1, 2, 3], [4, 5], [1, 3, 3], [2, 1, 1], [1, 0], [1; 4], F32, true),
    // More channels than a block of the kernel holds.
    conv([1, 3, 4], [300, 20], [3, 3, 3], [1, 1, 1], [1, 1], [1; 4], BF16, true),
];

impl Conv3d {
    fn frame(&self) -> usize {
        self.sizes.height * self.sizes.width * self.sizes.in_channels
    }

    pub fn x(&self) -> Vec<f32> {
        normal(21, self.sizes.frames * self.frame())
    }

    pub fn tail(&self) -> Vec<f32> {
        normal(22, self.sizes.tail_frames * self.frame())
    }

    pub fn w(&self) -> Weight {
        let terms = self.sizes.in_channels * self.sizes.kernel.iter().product::<usize>();
        let values = Scaled((terms as f64).powf(-0.5)).make(23, self.sizes.out_channels * terms);
        Weight::new(&values, self.storage)
    }

    pub fn bias(&self) -> Option<Vec<f32>> {
        self.bias.then(|| normal(24, self.sizes.out_channels))
    }

    /// Weights are scaled so that the sums are of the size of x.
    pub fn limit(&self) -> Limit {
        Limit::F32.of_terms(1.0)
    }

    pub fn want(&self) -> Vec<f64> {
        reference::conv3d(&self.sizes, &self.x(), &self.tail(), &self.w().values(), self.bias().as_deref())
    }
}

/// Rows of one width: the shape of every norm and element-wise op.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub rows: usize,
    pub width: usize,
    pub fill: Fill,
}

const fn rows(rows: usize, width: usize, fill: Fill) -> Rows {
    Rows { rows, width, fill }
}

pub const ROWS: &[Rows] = &[
    rows(1, 1, Normal),
    rows(0, 5, Normal),
    rows(3, 3, Normal),
    rows(40, 7, Normal),
    rows(5, 8, Normal),
    rows(9, 24, Offset(1000.0)),
    rows(33, 44, Normal),
    rows(700, 96, Normal),
    rows(2, 384, Wide),
    rows(17, 1536, Wide),
    rows(3, 5120, Offset(-30.0)),
    rows(1, 16384, Normal),
    rows(2, 4099, Normal),
    rows(4, 33, Scaled(1e15)),
    rows(4, 33, Scaled(1e-15)),
    rows(3, 41, Constant(0.0)),
    rows(3, 40, Constant(-2.5)),
];

impl Rows {
    pub fn x(&self) -> Vec<f32> {
        self.fill.make(31, self.rows * self.width)
    }

    /// The second operand of `add`, `mul` and `gated_add`.
    pub fn y(&self) -> Vec<f32> {
        normal(32, self.rows * self.width)
    }

    /// The weight, scale or gate of a row.
    pub fn scale(&self) -> Vec<f32> {
        normal(33, self.width)
    }

    /// The bias or shift of a row.
    pub fn shift(&self) -> Vec<f32> {
        normal(34, self.width)
    }
}

/// Numbers where an activation overflows, underflows, cancels or is nothing: for `activate`, beside [`ROWS`].
pub const EXTREMES: &[f32] = &[
    0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-20, -1e-20, 1e-6, -1e-6, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 5.5, -5.5,
    9.0, -9.0, 17.0, -17.0, 87.0, -87.0, 88.8, -88.8, 103.9, -103.9, 150.0, -150.0, 1e4, -1e4, 1e12, -1e12, 1e20,
    -1e20, 3e38, -3e38,
];

/// Rotary position embedding.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    pub rows: usize,
    pub table_rows: usize,
    pub heads: usize,
    pub head_dim: usize,
}

const fn rope(rows: usize, table_rows: usize, heads: usize, head_dim: usize) -> Rope {
    Rope { rows, table_rows, heads, head_dim }
}

pub const ROPE: &[Rope] = &[
    rope(1, 1, 1, 2),
    rope(5, 5, 3, 24),
    rope(14, 7, 2, 44),
    rope(6, 3, 12, 128),
    rope(9, 9, 1, 6),
    rope(3, 1, 1, 384),
    rope(600, 300, 2, 16),
];

impl Rope {
    pub fn x(&self) -> Vec<f32> {
        normal(41, self.rows * self.heads * self.head_dim)
    }

    /// cos and sin of the same angles.
    pub fn tables(&self) -> (Vec<f32>, Vec<f32>) {
        let mut random = Random::new(42);
        let angles = (0..self.table_rows * self.head_dim / 2).map(|_| random.normal() * 20.0);
        angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip()
    }

    pub fn want(&self) -> Vec<f64> {
        let (cos, sin) = self.tables();
        reference::rope(&self.x(), self.heads, self.head_dim, &cos, &sin)
    }
}

/// x `[T, H, W, C]` and how often a pixel is repeated down and across.
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    pub shape: [usize; 4],
    pub fh: usize,
    pub fw: usize,
}

const fn upsample(shape: [usize; 4], fh: usize, fw: usize) -> Upsample {
    Upsample { shape, fh, fw }
}

pub const UPSAMPLE: &[Upsample] = &[
    upsample([1, 1, 1, 1], 2, 2),
    upsample([2, 3, 5, 7], 2, 2),
    upsample([1, 4, 3, 96], 2, 2),
    upsample([3, 2, 2, 16], 1, 3),
    upsample([1, 5, 1, 9], 4, 1),
    upsample([2, 2, 3, 4], 1, 1),
    upsample([0, 2, 3, 4], 2, 2),
    upsample([2, 30, 20, 24], 2, 2),
];

impl Upsample {
    pub fn x(&self) -> Vec<f32> {
        normal(51, self.shape.iter().product())
    }

    pub fn want(&self) -> Vec<f64> {
        reference::upsample_nearest(&self.x(), self.shape, self.fh, self.fw)
    }
}

/// x `[T, H, W, 2C]`.
#[derive(Clone, Copy, Debug)]
pub struct Interleave {
    pub shape: [usize; 4],
}

pub const INTERLEAVE: &[Interleave] = &[
    Interleave { shape: [1, 1, 1, 2] },
    Interleave { shape: [1, 4, 6, 48] },
    Interleave { shape: [3, 2, 5, 14] },
    Interleave { shape: [0, 2, 5, 14] },
    Interleave { shape: [2, 24, 20, 64] },
];

impl Interleave {
    pub fn x(&self) -> Vec<f32> {
        normal(52, self.shape.iter().product())
    }

    pub fn want(&self) -> Vec<f64> {
        reference::interleave_frames(&self.x(), self.shape)
    }
}

/// `[C, T, H, W]` and the patch that divides it: for `patchify` and `unpatchify`.
#[derive(Clone, Copy, Debug)]
pub struct Patches {
    pub shape: [usize; 4],
    pub patch: [usize; 3],
}

const fn patches(shape: [usize; 4], patch: [usize; 3]) -> Patches {
    Patches { shape, patch }
}

pub const PATCHES: &[Patches] = &[
    patches([1, 1, 1, 1], [1, 1, 1]),
    patches([16, 3, 6, 10], [1, 2, 2]),
    patches([16, 1, 2, 2], [1, 2, 2]),
    patches([3, 4, 6, 6], [2, 3, 1]),
    patches([5, 2, 3, 4], [1, 1, 1]),
    patches([2, 2, 4, 6], [2, 4, 6]),
    patches([16, 2, 40, 36], [1, 2, 2]),
];

impl Patches {
    pub fn x(&self) -> Vec<f32> {
        normal(53, self.shape.iter().product())
    }

    pub fn want_patchify(&self) -> Vec<f64> {
        reference::patchify(&self.x(), self.shape, self.patch)
    }

    pub fn want_unpatchify(&self) -> Vec<f64> {
        reference::unpatchify(&self.x(), self.shape, self.patch)
    }
}

/// `channels` and the number of pixels: for `channels_last` and `channels_first`.
#[derive(Clone, Copy, Debug)]
pub struct Channels {
    pub channels: usize,
    pub pixels: usize,
}

const fn channels(channels: usize, pixels: usize) -> Channels {
    Channels { channels, pixels }
}

pub const CHANNELS: &[Channels] = &[
    channels(1, 1),
    channels(3, 1001),
    channels(16, 24),
    channels(1, 9),
    channels(17, 1),
    channels(41, 67),
    channels(3, 0),
    channels(100, 900),
];

impl Channels {
    pub fn x(&self) -> Vec<f32> {
        normal(54, self.channels * self.pixels)
    }
}

/// Rows of a table by id.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    pub vocab: usize,
    pub width: usize,
    pub ids: usize,
    pub storage: Storage,
}

const fn embedding(vocab: usize, width: usize, ids: usize, storage: Storage) -> Embedding {
    Embedding { vocab, width, ids, storage }
}

pub const EMBEDDING: &[Embedding] = &[
    embedding(1, 1, 1, F32),
    embedding(11, 7, 5, F16),
    embedding(100, 64, 512, BF16),
    embedding(3, 41, 9, BF16),
    embedding(50, 129, 33, F32),
    embedding(50, 96, 0, F16),
];

impl Embedding {
    pub fn table(&self) -> Weight {
        Weight::new(&Wide.make(61, self.vocab * self.width), self.storage)
    }

    /// The first and the last id are among them.
    pub fn ids(&self) -> Vec<u32> {
        let mut random = Random::new(62);
        let mut ids: Vec<u32> = (0..self.ids).map(|_| random.below(self.vocab) as u32).collect();
        if let [first, .., last] = &mut ids[..] {
            (*first, *last) = (self.vocab as u32 - 1, 0);
        }
        ids
    }

    pub fn want(&self) -> Vec<f64> {
        reference::embedding(&self.table().values(), self.width, &self.ids())
    }
}
