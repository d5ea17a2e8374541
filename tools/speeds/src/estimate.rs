//! How long a model would take on a device, from the rows that were measured there.

use crate::case::{Attention, Case, Conv3d, Elementwise, Linear, Norm, Op};
use crate::error::{Error, Result};
use crate::models::{Clip, Part, Piece, Sizes};
use crate::peak::{Limit, Peak};
use crate::results::{DeviceResults, Measured, Row};

/// A part of a run.
#[derive(Clone, Copy, Debug)]
pub struct Estimated {
    /// Which.
    pub part: Part,
    /// Seconds that it takes once.
    pub once: f64,
    /// Seconds that it takes in every step.
    pub step: f64,
    /// Seconds of the whole run.
    pub all: f64,
    /// Seconds that the measured peak allows for the whole run at least; none where the peak is not known.
    pub least: Option<f64>,
    /// What limits most of it.
    pub limit: Option<Limit>,
}

/// The parts of a run of `clip`, in its order.
///
/// # Errors
/// [`Error::Request`] if the model cannot make the clip, or an op that it needs was not measured.
pub fn estimate(sizes: &Sizes, clip: &Clip, device: &DeviceResults) -> Result<Vec<Estimated>> {
    let work = sizes.work(clip)?;
    let speeds = Speeds { rows: measured(device) };
    let mut parts = Vec::new();
    for part in Part::ALL {
        let [once, step] = [&work.once, &work.step].map(|pieces| Sum::of(pieces, part, &speeds, &device.peak));
        let (once, step, steps) = (once?, step?, clip.steps as f64);
        let least = once.least.zip(step.least).map(|(once, step)| once + steps * step);
        let [compute, memory] = [0, 1].map(|i| once.by_limit[i] + steps * step.by_limit[i]);
        let limit = least.map(|_| if compute > memory { Limit::Compute } else { Limit::Memory });
        // Rows are timed on memory that there was before; decoding takes the most of it, and first.
        let fresh = device.peak.fresh.filter(|_| part == Part::Vae).map_or(0.0, |rate| work.memory as f64 / rate);
        let once = once.seconds + fresh;
        parts.push(Estimated { part, once, step: step.seconds, all: once + steps * step.seconds, least, limit });
    }
    Ok(parts)
}

fn measured(device: &DeviceResults) -> Vec<(&Row, &Measured)> {
    let right = |row: &&Row| row.measured.as_ref().is_some_and(|measured| !measured.error.wrong);
    device.rows.iter().filter(right).filter_map(|row| Some((row, row.measured.as_ref()?))).collect()
}

/// What pieces of a part add up to.
#[derive(Default)]
struct Sum {
    seconds: f64,
    least: Option<f64>,
    /// Least seconds where arithmetic is the limit, and where memory is.
    by_limit: [f64; 2],
}

impl Sum {
    fn of(pieces: &[Piece], part: Part, speeds: &Speeds, peak: &Peak) -> Result<Self> {
        let mut sum = Self { least: Some(0.0), ..Self::default() };
        for piece in pieces.iter().filter(|piece| piece.part == part) {
            let count = piece.count as f64;
            sum.seconds += count * speeds.seconds(&piece.case)?;
            let bound = peak.bound(piece.case.flop() as f64, piece.case.bytes(STORED) as f64);
            sum.least = sum.least.zip(bound).map(|(sum, (least, _))| sum + count * least);
            if let Some((least, limit)) = bound {
                sum.by_limit[usize::from(limit == Limit::Memory)] += count * least;
            }
        }
        Ok(sum)
    }
}

/// Bytes of an element of a weight, as checkpoints have it.
const STORED: usize = 2;

/// Speeds of a device, known at some shapes.
struct Speeds<'a> {
    rows: Vec<(&'a Row, &'a Measured)>,
}

impl Speeds<'_> {
    /// Seconds of an op: its work at the speed of the shapes nearest to its own, whose logarithms are averaged with weights
    /// that fall with the fourth power of the distance.
    fn seconds(&self, case: &Case) -> Result<f64> {
        const NEAR: f64 = 0.02;
        let (mut weights, mut sum) = (0.0, 0.0);
        for (row, measured) in self.rows.iter().filter(|(row, _)| row.case.op() == case.op()) {
            // Between two uses of an operand a model goes through all of its layers: none is in a cache.
            let seconds = measured.cold.typical();
            let weight = (distance(&row.case, case) + NEAR).powi(-2);
            sum += weight * (amount(&row.case) / seconds).ln();
            weights += weight;
        }
        if weights == 0.0 {
            let op = case.op();
            let why = format!("nothing was measured of {op}; run without --ops, or with more --time");
            return Err(Error::Request { what: "results", why });
        }
        Ok(amount(case) / (sum / weights).exp())
    }
}

/// What an op's speed is counted in: operations, or bytes where there is little arithmetic.
fn amount(case: &Case) -> f64 {
    match case.op() {
        Op::Linear | Op::Attention | Op::Conv3d => case.flop() as f64,
        Op::Norm | Op::Elementwise => case.bytes(STORED) as f64,
    }
}

/// How unlike two shapes of one op are for a kernel: the square of a distance. Sizes count as powers of two, up to where
/// more of them changes nothing.
fn distance(a: &Case, b: &Case) -> f64 {
    /// A kernel of another kind is as far as a size 64 times as large.
    const OTHER: f64 = 36.0;
    let other = |same: bool| if same { 0.0 } else { OTHER };
    let apart = |sizes: &[(usize, usize, usize, f64)]| -> f64 {
        let log = |size: usize, most: usize| (size.clamp(1, most) as f64).log2();
        sizes.iter().map(|&(a, b, most, weight)| weight * (log(a, most) - log(b, most)).powi(2)).sum()
    };
    match (a, b) {
        (Case::Linear(Linear { rows, k, n }), Case::Linear(b)) => {
            apart(&[(*rows, b.rows, 2048, 1.0), (*k, b.k, 4096, 0.5), (*n, b.n, 4096, 0.5)])
        }
        (Case::Attention(Attention { heads, head_dim, queries, keys }), Case::Attention(b)) => apart(&[
            (*heads, b.heads, 8, 0.2),
            (*head_dim, b.head_dim, 1024, 1.0),
            (*queries, b.queries, 4096, 1.0),
            (*keys, b.keys, 4096, 1.0),
        ]),
        (Case::Conv3d(a), Case::Conv3d(b)) => {
            let pixels = |conv: &Conv3d| conv.frames * conv.height * conv.width;
            let sizes = [
                (pixels(a), pixels(b), 1 << 14, 0.5),
                (a.inputs, b.inputs, 512, 1.0),
                (a.outputs, b.outputs, 512, 1.0),
                (a.frames, b.frames, 4, 0.2),
            ];
            apart(&sizes) + other(a.kernel == b.kernel)
        }
        (Case::Norm(Norm { kind, rows, width }), Case::Norm(b)) => {
            let size = (rows * width, b.rows * b.width, 1 << 23, 0.5);
            apart(&[size, (*width, b.width, 4096, 0.5)]) + other(*kind == b.kind)
        }
        (Case::Elementwise(Elementwise { kind, rows, width }), Case::Elementwise(b)) => {
            apart(&[(rows * width, b.rows * b.width, 1 << 23, 0.5)]) + other(*kind == b.kind)
        }
        _ => f64::INFINITY,
    }
}
