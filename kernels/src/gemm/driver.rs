//! The loops around the register tile: blocks of the product as tasks, blocks of the sum inside each.
//!
//! The sum runs over taps and channels (a linear layer has one tap). A block of it takes all taps of a few channels:
//! then the left operand is copied in runs of channels, and a convolution's weight, stored `[out][channel][tap]`, is read
//! in runs as well and brought to the order `[tap][channel]` where it is packed.

use std::marker::PhantomData;
use std::ops::Range;

use super::operands::{After, Left, Weights, ZEROS};
use super::tile::{MR, NR, Part, Then, Tile};
use super::{narrow, pack};
use crate::arch::blocks::{Block, Blocks};
use crate::simd::{Kernel, LANES, Simd};
use crate::stored::{Storage, for_storage};
use crate::{Activation, Exec, Level, scratch};

/// Rows of the product per task, at most: with [`DEPTH`] the left block takes 384 KiB of the level-two cache, and half as
/// much again with AVX-512, whose machines have 1 MiB and more.
const fn most_rows(level: Level) -> usize {
    match level {
        Level::Portable | Level::Avx2 => 192,
        Level::Avx512 => 288,
    }
}
/// Columns of the product per task, at most.
const COLUMNS: usize = 768;
/// Terms of the sum per block: few enough for a right panel to stay near, many enough for the sums in registers.
const DEPTH: usize = ZEROS.len();
/// Channels of a block at the least, where there are so many: a run of them is a cache line.
const RUN: usize = 16;
/// Rows of the left operand that are asked for ahead of their use.
const AHEAD: usize = 6;
/// Tasks to be had, so that many threads find work in a product of few rows.
const TASKS: usize = 16;

/// Fills `out: [rows, n]` with the product and what follows it.
pub(crate) fn product<L: Left>(exec: Exec, left: &L, rows: usize, weights: Weights, out: &mut [f32]) {
    let n = weights.n;
    if rows == 0 || n == 0 {
        return;
    }
    if n <= narrow::COLUMNS {
        return narrow::product(exec, left, rows, weights, out);
    }
    let (tall, height) = (rows.div_ceil(most_rows(exec.level)), height(rows, most_rows(exec.level)));
    let across = n.div_ceil(COLUMNS).max(TASKS.div_ceil(tall).min(n.div_ceil(3 * NR)));
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

/// Bytes of working memory that [`product`] keeps on each thread, at most and on any level, with a left operand of
/// `rows` rows, `channels` channels and `taps` taps.
pub(crate) fn scratch_bytes(rows: usize, channels: usize, taps: usize, n: usize) -> usize {
    if rows == 0 || n == 0 {
        return 0;
    }
    if n <= narrow::COLUMNS {
        return scratch::bytes(narrow::numbers(channels, taps));
    }
    // Fewer taps may come with more channels at a time.
    let rows = height(rows, most_rows(Level::Avx512)).min(rows);
    let most = (0..=taps).map(|taps| Depth::new(channels, taps).numbers(rows)).max();
    scratch::bytes(most.unwrap_or(0))
}

/// Rows of a task: equal runs but for the last.
fn height(rows: usize, most: usize) -> usize {
    rows.div_ceil(rows.div_ceil(most)).next_multiple_of(MR)
}

/// How the sum is divided into blocks.
#[derive(Clone, Copy)]
struct Depth {
    /// Channels of a block of the sum.
    channels: usize,
    /// Terms of a block, at most, in whole vectors.
    most: usize,
}

impl Depth {
    fn new(channels: usize, taps: usize) -> Self {
        let most = (DEPTH / taps.max(1) / RUN * RUN).max(RUN);
        let each = channels.div_ceil(channels.div_ceil(most).max(1)).next_multiple_of(RUN).min(channels);
        Self { channels: each.max(1), most: (each * taps).next_multiple_of(LANES) }
    }

    /// Numbers of working memory of a task of `rows` rows: left panels and one right panel.
    fn numbers(self, rows: usize) -> usize {
        self.most * (rows + NR)
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
        let (left_panels, right_panel) = memory.split_at_mut(depth.most * block.rows);
        // Tiles of equal height, not full ones and a rest.
        let height = block.rows.div_ceil(block.rows.div_ceil(S::TILE[0]));
        let width = S::TILE[1] * LANES;
        let mut order = Vec::new();
        let mut start = 0;
        // A sum of no terms is a block as well: bias and activation remain.
        loop {
            let run = start..channels.min(start + depth.channels);
            let (first, last) = (start == 0, run.end == channels);
            let terms = run.len() * taps.len();
            let k = terms.next_multiple_of(LANES);
            pack_left(s, left, block.row..block.row + block.rows, height, taps, run.clone(), left_panels);
            reorder(&mut order, all_taps, taps, run.len());
            for column in (0..block.columns).step_by(width) {
                if exec.stopped() {
                    return;
                }
                let columns = column..block.columns.min(column + width);
                let here = block.column + columns.start..block.column + columns.end;
                let right_panel = &mut right_panel[..k * width];
                right_panel[terms * width..].fill(0.0);
                let stride = channels * all_taps * T::SIZE;
                let from = here.start * stride + run.start * all_taps * T::SIZE;
                let stored = run.len() * all_taps;
                if order.is_empty() {
                    pack::right::<S, T>(s, &bytes[from..], stride, columns.len(), stored, Some, right_panel);
                } else {
                    let place = |p: usize| order[p];
                    pack::right::<S, T>(s, &bytes[from..], stride, columns.len(), stored, place, right_panel);
                }
                let bias = if first { weights.bias.map(|b| &b[here.clone()]) } else { None };
                let then = match weights.then {
                    After::Act(_) if first => Then::Set,
                    After::Act(_) | After::Add(None) => Then::Add,
                    After::Add(Some(factors)) => Then::AddTimes(&factors[here]),
                };
                // The next panel's rows lie far apart: they are asked for a few lines at a time.
                let ahead = block.columns.min(columns.end + width) - columns.end;
                let mut lines = pack::lines(stride, width..width + ahead, stored * T::SIZE);
                let each = lines.len().div_ceil(block.rows.div_ceil(height));
                for row in (0..block.rows).step_by(height) {
                    for at in lines.by_ref().take(each) {
                        s.prefetch(&bytes[from..], at);
                    }
                    let rows = height.min(block.rows - row);
                    let left = &left_panels[row * k..(row + rows) * k];
                    let out = Part { block: &mut block, row, columns: columns.clone() };
                    Tile { rows, left, right: right_panel, bias, then, out }.run(s);
                    if let (true, After::Act(act)) = (last, weights.then)
                        && act != Activation::None
                    {
                        activate(s, act, &mut block, row..row + rows, columns.clone());
                    }
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

/// Packs some channels of all of a block's rows, in panels of `height` rows.
#[inline(always)]
fn pack_left<S: Simd, L: Left>(
    s: S,
    left: &L,
    rows: Range<usize>,
    height: usize,
    taps: &[usize],
    channels: Range<usize>,
    panels: &mut [f32],
) {
    let terms = taps.len() * channels.len();
    let k = terms.next_multiple_of(LANES);
    for start in rows.clone().step_by(height) {
        let here = height.min(rows.end - start);
        let panel = &mut panels[(start - rows.start) * k..][..here * k];
        for row in 0..here {
            let place = left.place(start + row);
            if let ([tap], true) = (taps, start + row + AHEAD < rows.end) {
                let run = left.run(left.place(start + row + AHEAD), *tap, channels.clone());
                for at in (0..run.len()).step_by(LANES) {
                    s.prefetch(run, at);
                }
            }
            for (slot, &tap) in taps.iter().enumerate() {
                let run = left.run(place, tap, channels.clone());
                pack::left(s, run, here, row, slot * channels.len(), panel);
            }
        }
        pack::left_end(here, terms, panel);
    }
}

/// Applies an activation to a finished tile.
#[inline(always)]
fn activate<S: Simd>(s: S, act: Activation, block: &mut Block, rows: Range<usize>, columns: Range<usize>) {
    for row in rows {
        let (whole, rest) = block.row(row, columns.clone()).as_chunks_mut::<LANES>();
        for out in whole {
            s.store(act.apply(s, s.load(out)), out);
        }
        if !rest.is_empty() {
            s.store_partial(act.apply(s, s.load_partial(rest)), rest);
        }
    }
}
