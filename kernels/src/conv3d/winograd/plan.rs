//! Which convolutions Winograd's algorithm is for, and what is worked on at a time.

use crate::conv3d::shape::Conv3d;
use crate::gemm::narrow;
use crate::gemm::tile::NR;
use crate::scratch;
use crate::simd::{Kernel, LANES, MOST_VECTORS, Simd};

/// Numbers that a tile becomes.
pub(super) const POINTS: usize = 36;
/// Pixels of a tile's side in the output.
pub(super) const SIDE: usize = 4;
/// Pixels of a tile's side in the input.
pub(super) const SEEN: usize = 6;
/// Numbers of a kernel's side.
const SIDE_OF_KERNEL: usize = 3;
/// Taps in time, at most.
pub(super) const MOST_TAPS: usize = 4;
/// Numbers of the transformed weight that exist at a time, about: 10 MiB.
const WEIGHT: usize = 5 << 19;
/// Tiles that are worked out together, at least: enough for the weight's transform and its way from memory to pay.
const TILES: usize = 64;
/// Numbers that those tiles have under one point where there are more: 144 KiB.
const TOGETHER: usize = 36 * 1024;
/// Frames of the output that are worked out together, at most.
pub(super) const FRAMES: usize = 4;
/// Columns of the output per task, a multiple of every tile's.
pub(super) const COLUMNS: usize = 3 * NR;

impl Conv3d {
    /// Whether [`crate::conv3d_winograd`] takes this convolution: 3 x 3 in space, up to four taps in time,
    /// steps of one.
    pub fn has_winograd(&self) -> bool {
        self.kernel[1..] == [3, 3] && self.kernel[0] <= MOST_TAPS && self.stride == [1; 3] && self.in_channels > 0
    }

    /// Whether [`crate::conv3d_winograd`] is the faster way: nearly always, but to very few channels from many, which have a kernel
    /// of their own.
    pub fn prefers_winograd(&self) -> bool {
        let [_, height, width] = self.output();
        let (pixels, few) = (height * width, self.out_channels <= narrow::COLUMNS);
        self.has_winograd() && self.in_channels >= 4 && (!few || self.in_channels <= 32) && pixels >= 64
    }

    /// Bytes of working memory that [`crate::conv3d_winograd`] keeps on each thread, and on the calling one besides, at most.
    pub fn winograd_scratch(&self) -> [usize; 2] {
        if self.output().contains(&0) || self.out_channels == 0 {
            return [0; 2];
        }
        let each = LANES * self.kernel[0] * SIDE_OF_KERNEL * SIDE_OF_KERNEL * MOST_VECTORS * LANES;
        [scratch::bytes(each), scratch::bytes(Sizes::new(self).numbers().iter().sum())]
    }
}

/// What is worked on at a time: it depends on the shape alone.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Channels of the input, in whole vectors.
    pub(super) channels: usize,
    /// Terms of a sum: channels and taps in time.
    pub(super) terms: usize,
    /// Columns of the output of which the transformed weight exists at a time.
    pub(super) group: usize,
    /// Rows of tiles, of all and of a strip that is worked out together.
    pub(super) down: usize,
    pub(super) strip: usize,
    /// Tiles of a row of tiles.
    pub(super) across: usize,
    /// Frames of the output that are worked out together.
    pub(super) chunk: usize,
    /// Transformed frames that exist at a time.
    pub(super) slots: usize,
}

impl Sizes {
    /// The sizes for a shape.
    pub(super) fn new(s: &Conv3d) -> Self {
        let [frames, height, width] = s.output();
        let channels = s.in_channels.next_multiple_of(LANES);
        let terms = s.kernel[0] * channels;
        let all = s.out_channels.next_multiple_of(NR);
        let most = (WEIGHT / (POINTS * terms) / NR * NR).clamp(NR, all);
        let group = all.div_ceil(all.div_ceil(most)).next_multiple_of(NR);
        let (down, across) = (height.div_ceil(SIDE), width.div_ceil(SIDE));
        let strip = ((TOGETHER / terms).max(TILES) / across).clamp(1, down);
        let strip = down.div_ceil(down.div_ceil(strip));
        let chunk = frames.min(FRAMES);
        Self { channels, terms, group, down, strip, across, chunk, slots: s.kernel[0] - 1 + chunk }
    }

    /// Numbers that a transformed frame of a strip has.
    pub(super) fn seen(&self) -> usize {
        POINTS * self.strip * self.across * self.channels
    }

    /// Numbers of transformed weight, of transformed frames and of two frames' sums.
    pub(super) fn numbers(&self) -> [usize; 3] {
        let sums = POINTS * self.strip * self.across * self.group;
        [POINTS * self.terms * self.group, self.slots * self.seen(), 2 * sums]
    }
}

/// What is worked out once per call.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Rows and columns of a register tile, the level's or a narrower one.
    pub(super) tile: [usize; 2],
    /// Channels of the input, in whole vectors.
    pub(super) channels: usize,
    /// Terms of a sum: channels and taps in time.
    pub(super) terms: usize,
    /// Tiles of a row of tiles.
    pub(super) across: usize,
    /// Rows and pixels of a row of the output.
    pub(super) size: [usize; 2],
}

impl Plan {
    /// Tiles of a left panel where there are `tiles`: equal parts, not full ones and a rest.
    pub(super) fn height(&self, tiles: usize) -> usize {
        tiles.div_ceil(tiles.div_ceil(self.tile[0]))
    }
}

/// Rows and columns of the level's register tile; it is narrower where a quarter of it or more would be for nothing.
pub(super) struct TileSize {
    pub(super) columns: usize,
}

impl Kernel for TileSize {
    type Output = [usize; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> [usize; 2] {
        let [wide, narrow] = [S::TILE[1] * LANES, LANES].map(|tile| self.columns.next_multiple_of(tile));
        let columns = if 4 * wide > 5 * narrow { LANES } else { S::TILE[1] * LANES };
        [S::TILE[0], columns]
    }
}
