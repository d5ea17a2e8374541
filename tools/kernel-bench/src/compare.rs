//! Two files compared, row by row.

use std::collections::BTreeMap;

use crate::show;
use speeds::case::Op;
use speeds::error::{Error, Result};
use speeds::results::{DeviceResults, Results, Row};
use speeds::stats::{geometric_mean, mann_whitney, median};

/// How often a comparison of equal files may find a difference in any of its rows.
const CHANCE: f64 = 0.01;

/// Rows of two files that are about the same.
#[derive(Debug)]
pub struct Comparison {
    /// The slowest first.
    pub pairs: Vec<Pair>,
    /// Rows that only one file has figures of.
    pub alone: usize,
}

/// A row of both files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The device's name in flags.
    pub device: String,
    /// The op and its shape, with the storage type of its weight.
    pub what: String,
    /// Its group.
    pub op: Op,
    /// Median seconds of both.
    pub seconds: [f64; 2],
    /// The second over the first.
    pub ratio: f64,
    /// How likely the samples are, or more different ones, if nothing changed.
    pub p: f64,
    /// By what share visits of one run differ.
    pub drift: f64,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right before, wrong now.
    Wrong,
    /// Slower by more than the threshold, and not by chance.
    Slower,
    /// Neither.
    Same,
    /// Faster by more than the threshold, and not by chance.
    Faster,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Wrong => "WRONG",
            Self::Slower => "slower",
            Self::Same => "",
            Self::Faster => "faster",
        }
    }
}

/// Compares `after` with `before`: a row counts as changed if its median moved by more than `threshold` and what visits of
/// one run differ by, and the samples of both would not differ so in more than one of a hundred comparisons by chance.
///
/// # Errors
/// [`Error::Request`] if the files have nothing in common.
pub fn compare(before: &Results, after: &Results, threshold: f64) -> Result<Comparison> {
    let refuse = |why: String| Err(Error::Request { what: "files", why });
    if !before.joins(after) {
        let [a, b] = [before, after].map(Results::suite_name);
        return refuse(format!("suites {a} and {b} are different shapes; run both with one --suite and one version"));
    }
    let (mut joined, mut alone) = (Vec::new(), 0);
    for device in &after.devices {
        let Some(base) = partner(before, after, device) else {
            alone += device.rows.len();
            continue;
        };
        for row in &device.rows {
            match base.rows.iter().find(|other| other.joins(row)) {
                Some(other) if other.measured.is_some() && row.measured.is_some() => joined.push((device, other, row)),
                _ => alone += 1,
            }
        }
    }
    if joined.is_empty() {
        return refuse("no row of one device was measured in both; run both with the same --device and --ops".into());
    }
    let least = CHANCE / joined.len() as f64;
    let drifts = joined.iter().flat_map(|(_, a, b)| [a, b]).filter_map(|row| row.measured.as_ref()?.cold.drift());
    let usual = median(&drifts.collect::<Vec<_>>());
    let sure = Sure { threshold, least, usual };
    let mut pairs: Vec<Pair> =
        joined.iter().filter_map(|(device, a, b)| pair(&device.device.id, a, b, &sure)).collect();
    pairs.sort_by(|a, b| {
        (a.verdict != Verdict::Wrong).cmp(&(b.verdict != Verdict::Wrong)).then(b.ratio.total_cmp(&a.ratio))
    });
    Ok(Comparison { pairs, alone })
}

/// The device of `before` that `device` of `after` is: the same one, or the only one of each.
fn partner<'a>(before: &'a Results, after: &Results, device: &DeviceResults) -> Option<&'a DeviceResults> {
    let same = before.devices.iter().find(|other| other.device.same(&device.device));
    match (&before.devices[..], after.devices.len()) {
        ([only], 1) => Some(only),
        _ => same,
    }
}

/// When a difference counts.
struct Sure {
    /// The share by which times differ more.
    threshold: f64,
    /// The probability that it falls below.
    least: f64,
    /// By what share visits of a row differ where it had one alone.
    usual: f64,
}

fn pair(device: &str, a: &Row, b: &Row, when: &Sure) -> Option<Pair> {
    let (before, after) = (a.measured.as_ref()?, b.measured.as_ref()?);
    // Thread time if both have it: what else the machine did is not in it.
    let threads = before.cold.thread.is_some() && after.cold.thread.is_some();
    let [x, y] = [&before.cold, &after.cold].map(|timing| if threads { timing.steady() } else { &timing.samples });
    let seconds = [median(x), median(y)];
    let (ratio, p) = (seconds[1] / seconds[0], mann_whitney(x, y));
    let drift = before.cold.drift().unwrap_or(when.usual).max(after.cold.drift().unwrap_or(when.usual));
    let (sure, most) = (p < when.least, (1.0 + when.threshold) * (1.0 + drift));
    let verdict = if after.error.wrong && !before.error.wrong {
        Verdict::Wrong
    } else if sure && ratio > most {
        Verdict::Slower
    } else if sure && ratio < 1.0 / most {
        Verdict::Faster
    } else {
        Verdict::Same
    };
    let stored = b.types.weights.map(|weights| format!(", {weights}")).unwrap_or_default();
    Some(Pair {
        device: device.into(),
        what: format!("{}{stored}", b.case),
        op: b.case.op(),
        seconds,
        ratio,
        p,
        drift,
        verdict,
    })
}

impl Comparison {
    /// Whether anything got slower or wrong.
    pub fn regressed(&self) -> bool {
        self.pairs.iter().any(|pair| matches!(pair.verdict, Verdict::Wrong | Verdict::Slower))
    }

    /// The geometric mean of the ratios.
    pub fn mean(&self) -> f64 {
        geometric_mean(self.pairs.iter().map(|pair| pair.ratio))
    }

    /// In words and columns, regressions first.
    pub fn text(&self) -> String {
        let header = ["op and shape", "device", "", "before", "after", "ratio", "p", "drift"];
        let mut table = vec![header.map(str::to_owned).to_vec()];
        table.extend(self.pairs.iter().map(|pair| {
            vec![
                pair.what.clone(),
                pair.device.clone(),
                pair.verdict.name().into(),
                show::seconds(pair.seconds[0]),
                show::seconds(pair.seconds[1]),
                format!("{:.3}", pair.ratio),
                format!("{:.0e}", pair.p),
                format!("{:.1} %", 100.0 * pair.drift),
            ]
        }));
        let mut text = show::aligned(&table);
        let mut by_op: BTreeMap<Op, Vec<f64>> = BTreeMap::new();
        self.pairs.iter().for_each(|pair| by_op.entry(pair.op).or_default().push(pair.ratio));
        let means = by_op.into_iter().map(|(op, ratios)| format!("{op} {:.3}", geometric_mean(ratios)));
        let means = means.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\ngeometric mean of time, after over before: {:.3} ({means})\n", self.mean()));
        let count = |verdict| self.pairs.iter().filter(|pair| pair.verdict == verdict).count();
        let (wrong, slower, faster) = (count(Verdict::Wrong), count(Verdict::Slower), count(Verdict::Faster));
        text.push_str(&format!("{} rows: {wrong} wrong, {slower} slower, {faster} faster", self.pairs.len()));
        if self.alone > 0 {
            text.push_str(&format!("; {} without a partner", self.alone));
        }
        text.push('\n');
        text
    }
}

/// A share as it is written: `5%`, `5 %` or `0.05`.
///
/// # Errors
/// [`Error::Request`] if it is none, or not above zero.
pub fn threshold(text: &str) -> Result<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    };
    let refuse = || Error::Request { what: "threshold", why: format!("{text:?} is not a share such as 5%") };
    share.filter(|share| *share > 0.0 && *share < 10.0).ok_or_else(refuse)
}
