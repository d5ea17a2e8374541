//! How much ops do, by kind: what a plan adds up and a device counts.

use std::ops::Add;

use zoetrope_kernels as kernels;

/// The work of some ops.
///
/// A multiplication and the addition that follows it are two operations (FLOP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// FLOP of linear layers.
    pub linear: u64,
    /// FLOP of attention: its two products.
    pub attention: u64,
    /// FLOP of convolutions; frames of zeros before the first one are left out, as the kernel leaves them out.
    pub conv3d: u64,
    /// Bytes that all other ops read and write.
    pub moved: u64,
    /// Bytes of working memory that each thread keeps for kernels: the most of any op.
    pub scratch: u64,
    /// Bytes of working memory that the calling thread keeps besides: the most of any op.
    pub shared: u64,
}

impl Work {
    /// `[rows, k]` by `[n, k]`.
    pub(crate) fn linear(rows: usize, k: usize, n: usize) -> Self {
        let scratch = kernels::linear_scratch(rows, k, n) as u64;
        Self { linear: product([2, rows, k, n]), scratch, ..Self::default() }
    }

    /// Attention of one branch.
    pub(crate) fn attention(shape: &kernels::Attention) -> Self {
        let flop = product([4, shape.queries, shape.keys, shape.heads * shape.head_dim]);
        Self { attention: flop, scratch: shape.scratch() as u64, ..Self::default() }
    }

    /// A convolution.
    pub(crate) fn conv3d(shape: &kernels::Conv3d) -> Self {
        let [frames, height, width] = shape.output();
        let [kt, kh, kw] = shape.kernel;
        // Taps in time that meet a frame, over all frames of the output.
        let taps: usize = (0..frames).map(|t| kt - shape.pad_front.saturating_sub(t * shape.stride[0]).min(kt)).sum();
        let each = product([2, kh, kw, shape.in_channels, shape.out_channels]);
        let flop = product([height, width, taps]).saturating_mul(each);
        Self { conv3d: flop, scratch: shape.scratch() as u64, ..Self::default() }
    }

    /// A convolution by Winograd's algorithm: the same FLOP, of which only a quarter of the multiplications is done.
    pub(crate) fn winograd(shape: &kernels::Conv3d) -> Self {
        let [scratch, shared] = shape.winograd_scratch().map(|bytes| bytes as u64);
        Self { scratch, shared, ..Self::conv3d(shape) }
    }

    /// An op that reads and writes so many numbers in all.
    pub(crate) fn moved(numbers: usize) -> Self {
        Self { moved: product([numbers, size_of::<f32>()]), ..Self::default() }
    }

    /// All floating-point operations.
    pub fn flop(&self) -> u64 {
        self.linear.saturating_add(self.attention).saturating_add(self.conv3d)
    }

    /// The same work `n` times.
    pub fn times(self, n: u64) -> Self {
        self.each(self, |x, _| x.saturating_mul(n))
    }

    /// What was added to `before` to come here.
    pub fn since(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }

    fn each(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            linear: f(self.linear, other.linear),
            attention: f(self.attention, other.attention),
            conv3d: f(self.conv3d, other.conv3d),
            moved: f(self.moved, other.moved),
            scratch: self.scratch,
            shared: self.shared,
        }
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (scratch, shared) = (self.scratch.max(other.scratch), self.shared.max(other.shared));
        Self { scratch, shared, ..self.each(other, u64::saturating_add) }
    }
}

fn product<const N: usize>(factors: [usize; N]) -> u64 {
    factors.into_iter().fold(1, |product, factor| product.saturating_mul(factor as u64))
}
