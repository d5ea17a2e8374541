//! How shaders tiles their work into parts, and which sizes of parts a device does best with.

#![cfg_attr(not(feature = "vulkan"), allow(dead_code, reason = "without GPUs there are no tiles"))]

use std::fmt;

use crate::weights::hash::hex;

/// An op and a kind of shape, which have sizes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// [`linear`](crate::ops::linear): rows up to 256 or more, columns up to 48 or more.
    Linear([Size; 2]),
    /// [`conv3d`](crate::ops::conv3d): pixels and output channels in place of rows and columns.
    Conv3d([Size; 2]),
    /// [`attention`](crate::ops::attention): heads up to 128 wide or wider.
    Attention(Size),
    /// [`linear`](crate::ops::linear) by cooperative matrices: rows up to 1024 or more.
    LinearCooperative(Size),
    /// [`conv3d`](crate::ops::conv3d) by cooperative matrices: output channels up to 32 or more.
    Conv3dCooperative(Size),
}

/// Which part of its range a size is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// The lower one.
    Small,
    /// The upper one.
    Large,
}

impl Size {
    fn of(size: usize, small: usize) -> Self {
        if size <= small { Self::Small } else { Self::Large }
    }
}

/// Rows and columns of a workgroup's part of a product, and of an invocation's part of that; of cooperative matrices, of a
/// subgroup. Of attention the queries of a workgroup, the keys of `v` that it stages at a time, the queries of an invocation,
/// and 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileSizes {
    /// Of a workgroup.
    pub group: [usize; 2],
    /// Of an invocation.
    pub own: [usize; 2],
}

const SMALL_ROWS: usize = 256;
const SMALL_COLUMNS: usize = 48;
const SMALL_COOPERATIVE_ROWS: usize = 1024;
const SMALL_COOPERATIVE_CHANNELS: usize = 32;
/// Terms of cooperative products that a workgroup stages at a time.
pub(crate) const COOPERATIVE_TERMS: usize = 32;
/// Keys that a workgroup of attention takes at a time.
pub(crate) const KEYS: usize = 32;
/// Invocations of a workgroup at most: what every usable device has.
const INVOCATIONS: usize = 256;
/// Subgroups of a workgroup at most.
pub(crate) const SUBGROUPS: usize = 8;
/// Rows, columns and terms of the largest cooperative matrix.
pub(crate) const COOPERATIVE_SIDE: usize = 16;

impl Class {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        const BOTH: [Size; 2] = [Size::Small, Size::Large];
        let pairs = || BOTH.into_iter().flat_map(|rows| BOTH.map(|columns| [rows, columns]));
        let plain = pairs().map(Self::Linear).chain(pairs().map(Self::Conv3d)).chain(BOTH.map(Self::Attention));
        plain.chain(BOTH.map(Self::LinearCooperative)).chain(BOTH.map(Self::Conv3dCooperative))
    }

    /// That of a layer.
    pub fn linear(rows: usize, columns: usize) -> Self {
        Self::Linear([Size::of(rows, SMALL_ROWS), Size::of(columns, SMALL_COLUMNS)])
    }

    /// That of a convolution.
    pub fn conv3d(pixels: usize, channels: usize) -> Self {
        Self::Conv3d([Size::of(pixels, SMALL_ROWS), Size::of(channels, SMALL_COLUMNS)])
    }

    /// That of a layer on cooperative matrices.
    pub fn linear_cooperative(rows: usize) -> Self {
        Self::LinearCooperative(Size::of(rows, SMALL_COOPERATIVE_ROWS))
    }

    /// That of a convolution on cooperative matrices.
    pub fn conv3d_cooperative(channels: usize) -> Self {
        Self::Conv3dCooperative(Size::of(channels, SMALL_COOPERATIVE_CHANNELS))
    }

    /// That of attention.
    pub fn attention(head_dim: usize) -> Self {
        Self::Attention(Size::of(head_dim, 4 * KEYS))
    }

    /// The sizes that are taken where nothing is known.
    pub fn usual(self) -> TileSizes {
        match self {
            Self::Linear(_) | Self::Conv3d(_) => TileSizes { group: [64, 64], own: [8, 4] },
            Self::Attention(Size::Small) => TileSizes { group: [64, 16], own: [4, 4] },
            // An invocation's part of the result is in registers: fewer rows of wide heads.
            Self::Attention(Size::Large) => TileSizes { group: [64, 16], own: [2, 4] },
            Self::LinearCooperative(Size::Small) => TileSizes { group: [64, 64], own: [32, 32] },
            Self::LinearCooperative(Size::Large) => TileSizes { group: [128, 128], own: [64, 64] },
            Self::Conv3dCooperative(Size::Small) => TileSizes { group: [128, 32], own: [32, 32] },
            Self::Conv3dCooperative(Size::Large) => TileSizes { group: [128, 64], own: [64, 32] },
        }
    }

    /// The usual sizes, and smaller ones for heads so wide that little of them fits into shared memory: the last fit always.
    pub(crate) fn ever_smaller(self) -> impl Iterator<Item = TileSizes> + Clone {
        const SMALLER: [[usize; 2]; 6] = [[64, 8], [64, 4], [32, 16], [32, 8], [32, 4], [16, 4]];
        let TileSizes { own, .. } = self.usual();
        let (smaller, own) = match self {
            Self::Attention(_) => (&SMALLER[..], own),
            Self::LinearCooperative(_) | Self::Conv3dCooperative(_) => (&[[64, 64], [64, 32], [32, 32]][..], [32, 32]),
            Self::Linear(_) | Self::Conv3d(_) => (&[][..], own),
        };
        std::iter::once(self.usual()).chain(smaller.iter().map(move |&group| TileSizes { group, own }))
    }

    /// The sizes that there are, the usual ones first.
    pub fn tile_sizes(self) -> Vec<TileSizes> {
        let mut choices = vec![self.usual()];
        let mut add = |group: [usize; 2], own: [usize; 2]| {
            let tiles = TileSizes { group, own };
            if !choices.contains(&tiles) && self.takes(tiles) {
                choices.push(tiles);
            }
        };
        let pick = |size: Size, small: [usize; 3], large: [usize; 3]| if size == Size::Small { small } else { large };
        let (rows, columns) = match self {
            Self::Linear(sizes) | Self::Conv3d(sizes) => {
                (pick(sizes[0], [16, 32, 64], [32, 64, 128]), pick(sizes[1], [8, 16, 32], [32, 64, 128]))
            }
            Self::Attention(size) => (pick(size, [32, 64, 128], [16, 32, 64]), [8, 16, 32]),
            Self::LinearCooperative(size) => {
                (pick(size, [32, 64, 128], [64, 128, 256]), pick(size, [32, 64, 128], [64, 128, 256]))
            }
            Self::Conv3dCooperative(size) => ([64, 128, 256], pick(size, [32, 64, 128], [32, 64, 128])),
        };
        let owns = if self.is_cooperative() {
            [[32, 32], [32, 64], [64, 32], [64, 64]]
        } else {
            [[2, 4], [4, 4], [8, 4], [8, 8]]
        };
        for own in owns {
            for rows in rows {
                columns.iter().for_each(|&columns| add([rows, columns], own));
            }
        }
        choices
    }

    /// Whether the shader can have these sizes.
    pub(crate) fn takes(self, tiles: TileSizes) -> bool {
        let TileSizes { group: [rows, columns], own: [own_rows, own_columns] } = tiles;
        let most = if self.is_cooperative() { 64 } else { 16 };
        let whole =
            |part: usize, own: usize| part > 0 && own > 0 && own <= most && part <= 256 && part.is_multiple_of(own);
        let known = match self {
            Self::Linear(_) | Self::Conv3d(_) => {
                // An invocation writes pairs of columns.
                whole(columns, own_columns) && own_columns.is_multiple_of(2) && own_rows * own_columns <= 64
            }
            Self::Attention(_) => own_rows <= 8 && own_columns == 4 && [4, 8, 16, 32].contains(&columns),
            Self::LinearCooperative(_) | Self::Conv3dCooperative(_) => {
                whole(columns, own_columns) && [own_rows, own_columns].iter().all(|own| own % 16 == 0)
            }
        };
        let parts = if self.is_cooperative() { 1..=SUBGROUPS } else { 32..=INVOCATIONS };
        whole(rows, own_rows) && known && parts.contains(&self.parts(tiles))
    }

    /// Whether the sizes are for cooperative matrices.
    pub fn is_cooperative(self) -> bool {
        matches!(self, Self::LinearCooperative(_) | Self::Conv3dCooperative(_))
    }

    /// Invocations of a workgroup, or subgroups of cooperative matrices.
    pub(crate) fn parts(self, TileSizes { group: [rows, columns], own }: TileSizes) -> usize {
        let columns = if let Self::Attention(_) = self { KEYS } else { columns };
        rows / own[0] * (columns / own[1])
    }

    /// Bytes that a workgroup shares: of attention with heads of so many vectors of [`KEYS`] numbers.
    pub(crate) fn shared_bytes(self, tiles: TileSizes, vectors: usize) -> usize {
        let TileSizes { group: [rows, columns], .. } = tiles;
        match self {
            Self::Linear(_) | Self::Conv3d(_) => 80 * (rows + columns),
            Self::LinearCooperative(_) | Self::Conv3dCooperative(_) => {
                let strips = 4 * COOPERATIVE_SIDE * (tiles.own[1] + 4) * self.parts(tiles);
                let places = if let Self::Conv3dCooperative(_) = self { 12 * rows } else { 0 };
                ((2 * COOPERATIVE_TERMS + 16) * (rows + columns)).max(strips) + places
            }
            Self::Attention(_) => rows * (4 * KEYS + 16) + (80 * (rows + KEYS)).max(4 * columns * KEYS * vectors),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |size: Size, [small, large]: [&'static str; 2]| if size == Size::Small { small } else { large };
        let rows = |size| named(size, ["few", "many"]);
        let columns = |size| named(size, ["narrow", "wide"]);
        match *self {
            Self::Linear(sizes) => write!(f, "linear {} {}", rows(sizes[0]), columns(sizes[1])),
            Self::Conv3d(sizes) => write!(f, "conv3d {} {}", rows(sizes[0]), columns(sizes[1])),
            Self::Attention(size) => write!(f, "attention {}", columns(size)),
            Self::LinearCooperative(size) => write!(f, "linear cooperative {}", rows(size)),
            Self::Conv3dCooperative(size) => write!(f, "conv3d cooperative {}", columns(size)),
        }
    }
}

impl fmt::Display for TileSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group: [rows, columns], own: [own_rows, own_columns] } = self;
        write!(f, "{rows}x{columns} by {own_rows}x{own_columns}")
    }
}

/// The sizes that a device does best with; the usual ones for what is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning(Vec<(Class, TileSizes)>);

/// The first line of a file, before the hash of the shaders that it is for.
const HEAD: &str = "zoetrope tile sizes 1 ";

impl Tuning {
    /// With other sizes for a class; sizes that its shader cannot have are left out.
    #[must_use]
    pub fn with(mut self, class: Class, tiles: TileSizes) -> Self {
        self.0.retain(|(other, _)| *other != class);
        if class.takes(tiles) {
            self.0.push((class, tiles));
        }
        self
    }

    /// The sizes of a class.
    pub fn tiles(&self, class: Class) -> TileSizes {
        self.0.iter().find(|(other, _)| *other == class).map_or_else(|| class.usual(), |(_, tiles)| *tiles)
    }

    /// A short hash of the sizes that are not the usual ones; `None` if all are.
    pub(super) fn fingerprint(&self) -> Option<String> {
        let unusual = self.0.iter().filter(|(class, tiles)| *tiles != class.usual());
        let mut lines: Vec<String> = unusual.map(|(class, tiles)| format!("{class}: {tiles}\n")).collect();
        lines.sort_unstable();
        (!lines.is_empty()).then(|| hex(&hmac_sha256::Hash::hash(lines.concat().as_bytes())[..6]))
    }

    /// As a file has it.
    pub(crate) fn to_text(&self) -> String {
        let lines = self.0.iter().map(|(class, tiles)| format!("{class}: {tiles}\n"));
        format!("{HEAD}{}\n{}", shaders(), lines.collect::<String>())
    }

    /// What a file has, unless it is for other shaders or not of this form.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()?.strip_prefix(HEAD)? != shaders() {
            return None;
        }
        lines.try_fold(Self::default(), |tuning, line| {
            let (name, text) = line.split_once(": ")?;
            let class = Class::all().find(|class| class.to_string() == name)?;
            let mut sizes = text.split([' ', 'x']).filter(|word| *word != "by").map(str::parse::<usize>);
            let mut size = || sizes.next()?.ok();
            let tiles = TileSizes { group: [size()?, size()?], own: [size()?, size()?] };
            // Whatever is written otherwise did not come from here.
            let ours = class.takes(tiles) && tiles.to_string() == text;
            ours.then(|| tuning.with(class, tiles))
        })
    }
}

/// SHA-256 of the manifest of all shaders, in hexadecimal: what is known of a device holds for these alone.
pub fn shaders() -> String {
    hex(&hmac_sha256::Hash::hash(include_bytes!("../../shaders/manifest.txt")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let tuning = Class::all().fold(Tuning::default(), |tuning, class| {
            let choices = class.tile_sizes();
            assert!(choices.len() > 3 && choices.iter().all(|tiles| class.takes(*tiles)), "{class}");
            tuning.with(class, choices[choices.len() - 1])
        });
        assert_eq!(Class::all().count(), 14);
        let text = tuning.to_text();
        assert_eq!(Tuning::from_text(&text), Some(tuning));
        let no = |from: &str, to: &str| assert_eq!(Tuning::from_text(&text.replacen(from, to, 1)), None, "{from}");
        no("tile sizes 1", "tile sizes 2");
        no(&shaders()[..8], "00000000");
        no("linear", "lineal");
        no(" by ", " by x");
        no("x", "x0");
        assert_eq!(Tuning::from_text(""), None);
    }

    #[test]
    fn sizes_that_no_shader_has_are_not_taken() {
        let class = Class::linear(1, 1);
        let tuning = Tuning::default().with(class, TileSizes { group: [64, 64], own: [1, 1] });
        assert_eq!(tuning.tiles(class), class.usual());
        assert_eq!(class.usual().to_string(), "64x64 by 8x4");
    }
}
