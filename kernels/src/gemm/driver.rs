//! The loops around the register tile: blocks of the product as tasks, blocks of the sum inside each.
//!
//! The sum runs over taps and channels (a linear layer has one tap). A block of it takes all taps of a few channels:
//! then the left operand is copied in runs of channels, and a convolution's weight, stored `[out][channel][tap]`, is read
//! in runs as well and brought to the order `[tap][channel]` where it is packed.

use std::marker::PhantomData;
use std::ops::Range;

use super::pack::{self, SLACK};
use super::tile::{self, MR, NR, Tile};
use super::{Activation, narrow};
use crate::arch::blocks::{Block, Blocks};
use crate::simd::{Kernel, Simd};
use crate::stored::{Storage, for_storage};
use crate::{Exec, Stored, scratch};

/// Rows of the product per task, at most: with [`DEPTH`] the left block fits a level-two cache of 512 KiB twice.
const ROWS: usize = 192;
/// Columns of the product per task, at most.
const COLUMNS: usize = 384;
/// Terms of the sum per block: with them a right panel takes 16 KiB of the level-one cache, a left one 6.
const DEPTH: usize = 256;
/// Channels of a block at the least, where there are so many: a run of them is a cache line.
const RUN: usize = 16;
/// Tasks to be had, so that many threads find work in a product of few rows.
const TASKS: usize = 16;

/// A run of zeros, as long as a run of channels can be.
pub(crate) static ZEROS: [f32; DEPTH] = [0.0; DEPTH];

/// The left operand: rows of `taps x channels` numbers, which need not lie in memory as such.
pub(crate) trait Left: Sync {
    /// What is worked out once per row.
    type Place: Copy + Default;

    /// Numbers of a row under one tap.
    fn channels(&self) -> usize;
    /// Taps of a row.
    fn taps(&self) -> usize;
    /// Whether one of the rows has numbers other than zero under the tap.
    fn touches(&self, rows: Range<usize>, tap: usize) -> bool;
    /// A row's place.
    fn place(&self, row: usize) -> Self::Place;
    /// Some channels of a row under one tap.
    fn run(&self, place: Self::Place, tap: usize, channels: Range<usize>) -> &[f32];
}

/// The right operand, `[n][channels][taps]`, and what follows the product.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) w: Stored<'a>,
    pub(crate) n: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) act: Activation,
}

/// Fills `out: [rows, n]` with the product, bias and activation included.
pub(crate) fn product<L: Left>(exec: Exec, left: &L, rows: usize, weights: Weights, out: &mut [f32]) {
    let n = weights.n;
    if rows == 0 || n == 0 {
        return;
    }
    if n <= narrow::COLUMNS {
        return narrow::product(exec, left, rows, weights, out);
    }
    let (tall, height) = (rows.div_ceil(ROWS), height(rows));
    let across = n.div_ceil(COLUMNS).max(TASKS.div_ceil(tall).min(n.div_ceil(8 * NR)));
    let width = n.div_ceil(across).next_multiple_of(NR);
    Blocks::new(out, rows, n, n, [height, width]).for_each(|block| {
        if exec.stopped() {
            return;
        }
        let taps: Vec<usize> =
            (0..left.taps()).filter(|&tap| left.touches(block.row..block.row + block.rows, tap)).collect();
        let depth = Depth::new(left.channels(), taps.len());
        scratch::with(depth.numbers(block.rows), |memory| {
            for_storage!(weights.w, |bytes, T| {
                exec.run(Task::<L, T> {
                    exec,
                    left,
                    weights,
                    bytes,
                    taps: &taps,
                    depth,
                    memory,
                    block,
                    storage: PhantomData,
                })
            });
        });
    });
}

/// Bytes of working memory that [`product`] keeps on each thread, at most, with a left operand of so many channels and
/// taps.
pub(crate) fn scratch_bytes(rows: usize, channels: usize, taps: usize, n: usize) -> usize {
    if rows == 0 || n == 0 {
        return 0;
    }
    if n <= narrow::COLUMNS {
        return scratch::bytes(narrow::numbers(channels, taps));
    }
    // Fewer taps may come with more channels at a time.
    let most = (0..=taps).map(|taps| Depth::new(channels, taps).numbers(height(rows).min(rows))).max();
    scratch::bytes(most.unwrap_or(0))
}

/// Rows of a task: equal runs but for the last.
fn height(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(ROWS)).next_multiple_of(MR)
}

/// How the sum is cut.
#[derive(Clone, Copy)]
struct Depth {
    /// Channels of a block of the sum.
    channels: usize,
    /// Terms of a block, at most.
    most: usize,
}

impl Depth {
    fn new(channels: usize, taps: usize) -> Self {
        let most = (DEPTH / taps.max(1) / 8 * 8).max(RUN);
        let each = channels.div_ceil(channels.div_ceil(most).max(1)).next_multiple_of(8).min(channels);
        Self { channels: each.max(1), most: each * taps }
    }

    /// Numbers of the left panels of so many rows.
    fn left(self, rows: usize) -> usize {
        (rows.div_ceil(MR) * self.most * MR + SLACK).next_multiple_of(NR)
    }

    /// Numbers of working memory of a task of so many rows.
    fn numbers(self, rows: usize) -> usize {
        self.left(rows) + self.most * NR
    }
}

/// One block of the product.
struct Task<'a, L: Left, T> {
    exec: Exec<'a>,
    left: &'a L,
    weights: Weights<'a>,
    bytes: &'a [u8],
    /// The taps under which not all rows are zero.
    taps: &'a [usize],
    depth: Depth,
    memory: &'a mut [f32],
    block: Block<'a>,
    storage: PhantomData<T>,
}

impl<L: Left, T: Storage> Kernel for Task<'_, L, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { exec, left, weights, bytes, taps, depth, memory, mut block, storage: _ } = self;
        let (channels, all_taps) = (left.channels(), left.taps());
        let (left_panels, right_panel) = memory.split_at_mut(depth.left(block.rows));
        let mut order = Vec::new();
        let mut start = 0;
        // A sum of no terms is a block as well: bias and activation remain.
        loop {
            let run = start..channels.min(start + depth.channels);
            let (first, last) = (start == 0, run.end == channels);
            let k = run.len() * taps.len();
            pack_left(s, left, block.row..block.row + block.rows, taps, run.clone(), left_panels);
            reorder(&mut order, all_taps, taps, run.len());
            for column in (0..block.columns).step_by(NR) {
                if exec.stopped() {
                    return;
                }
                let columns = column..block.columns.min(column + NR);
                let right_panel = &mut right_panel[..k * NR];
                let stride = channels * all_taps * T::SIZE;
                let from = (block.column + column) * stride + run.start * all_taps * T::SIZE;
                let terms = run.len() * all_taps;
                if order.is_empty() {
                    pack::right::<S, T>(s, &bytes[from..], stride, columns.len(), terms, Some, right_panel);
                } else {
                    let place = |p: usize| order[p];
                    pack::right::<S, T>(s, &bytes[from..], stride, columns.len(), terms, place, right_panel);
                }
                let after = last.then_some((weights.bias.map(|b| &b[block.column..]), weights.act));
                for row in (0..block.rows).step_by(MR) {
                    let rows = row..block.rows.min(row + MR);
                    for row in rows.clone() {
                        // The sums so far come from afar: ask before the tile is worked out.
                        let ahead = block.row(row, columns.clone());
                        s.prefetch(ahead, 0);
                        s.prefetch(ahead, NR - 1);
                    }
                    let sums = tile::product(s, &left_panels[row * k..(row + MR) * k], right_panel);
                    finish(s, sums, &mut block, rows, columns.clone(), first, after);
                }
            }
            start = run.end;
            if last {
                return;
            }
        }
    }
}

/// Works out where the right panel keeps each term of the stored order `[channel][tap]`: `[tap][channel]` of those taps
/// that count. Empty if that is the same.
fn reorder(order: &mut Vec<Option<usize>>, all_taps: usize, taps: &[usize], channels: usize) {
    order.clear();
    if all_taps > 1 || taps.is_empty() {
        order.resize(channels * all_taps, None);
        for (slot, tap) in taps.iter().enumerate() {
            for channel in 0..channels {
                order[channel * all_taps + tap] = Some(slot * channels + channel);
            }
        }
    }
}

/// Packs some channels of all of a block's rows.
#[inline(always)]
fn pack_left<S: Simd, L: Left>(
    s: S,
    left: &L,
    rows: Range<usize>,
    taps: &[usize],
    channels: Range<usize>,
    mut panels: &mut [f32],
) {
    for row in rows.clone().step_by(MR) {
        let here = MR.min(rows.end - row);
        let mut places = [L::Place::default(); MR];
        for (i, place) in places.iter_mut().enumerate().take(here) {
            *place = left.place(row + i);
        }
        for &tap in taps {
            let mut runs = [&ZEROS[..channels.len()]; MR];
            for (run, place) in runs.iter_mut().zip(places).take(here) {
                *run = left.run(place, tap, channels.clone());
            }
            pack::left(s, runs, panels);
            panels = &mut panels[channels.len() * MR..];
        }
    }
}

/// Adds a tile to the product, or begins it; after the last block of the sum come bias and activation.
#[inline(always)]
fn finish<S: Simd>(
    s: S,
    sums: Tile<S::V>,
    block: &mut Block,
    rows: Range<usize>,
    columns: Range<usize>,
    first: bool,
    after: Option<(Option<&[f32]>, Activation)>,
) {
    let mut bias = [s.zero(); 2];
    if let Some((Some(b), _)) = after {
        for (bias, b) in bias.iter_mut().zip(b[columns.clone()].chunks(8)) {
            *bias = s.load_partial(b);
        }
    }
    let act = after.map_or(Activation::None, |(_, act)| act);
    for (row, sums) in rows.zip(sums) {
        let out = block.row(row, columns.clone());
        if let Ok(out) = <&mut [f32; NR]>::try_from(&mut *out) {
            for ((out, sum), bias) in tile::halves_mut(out).into_iter().zip(sums).zip(bias) {
                let sum = if first { sum } else { sum + s.load(out) };
                s.store(act.apply(s, sum + bias), out);
            }
        } else {
            for ((out, sum), bias) in out.chunks_mut(8).zip(sums).zip(bias) {
                let sum = if first { sum } else { sum + s.load_partial(out) };
                s.store_partial(act.apply(s, sum + bias), out);
            }
        }
    }
}
