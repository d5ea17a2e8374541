//! Shapes: at most five axes, row-major.

use std::fmt;

/// The most axes that a tensor can have.
pub const MAX_RANK: usize = 5;

/// The lengths of a tensor's axes, outermost first; rank at most [`MAX_RANK`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// A shape with these axis lengths.
    ///
    /// # Panics
    /// If there are more than [`MAX_RANK`] axes: shapes that come from files are checked before they get here.
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "rank {} is above {MAX_RANK}", dims.len());
        let mut all = [1; MAX_RANK];
        all[..dims.len()].copy_from_slice(dims);
        Self { dims: all, rank: dims.len() }
    }

    /// The axis lengths, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of elements, at most `usize::MAX`.
    pub fn numel(&self) -> usize {
        self.dims().iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// The number of elements, if no product of some axes is more than memory could hold in F32.
    ///
    /// What is made has passed this, an empty axis beside very long ones included: arithmetic on its axes is safe.
    pub(crate) fn checked_numel(&self) -> Option<usize> {
        let span = self.dims().iter().try_fold(size_of::<f32>(), |product, &dim| product.checked_mul(dim.max(1)));
        span.filter(|&span| isize::try_from(span).is_ok()).map(|_| self.numel())
    }

    /// The length of the last axis, 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The number of rows when all axes but the last are folded into one.
    pub fn rows(&self) -> usize {
        self.dims().split_last().map_or(1, |(_, rest)| rest.iter().product())
    }

    /// The same shape with another last axis.
    pub fn with_last(mut self, last: usize) -> Self {
        assert!(self.rank > 0, "a scalar has no last axis");
        self.dims[self.rank - 1] = last;
        self
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
