//! Times of one row: samples of several visits, of which the quietest count.

use serde::{Deserialize, Serialize};

use crate::stats::{Summary, median};

/// Times of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// What was read.
    pub clock: Clock,
    /// Runs of the op that a sample is the mean of.
    pub repeats: usize,
    /// Sets of operands that were gone round.
    pub sets: usize,
    /// Seconds of one run.
    #[serde(flatten)]
    pub summary: Summary,
    /// Seconds of one run, in the order in which they were taken.
    pub samples: Vec<f64>,
    /// Seconds that threads ran, added up.
    pub thread: Option<ThreadTiming>,
    /// Medians of all visits, of thread time where there is one; figures and samples are those of the [`COUNTED`] least.
    pub visits: Vec<f64>,
}

/// Visits of a row that count: the quietest.
pub const COUNTED: usize = 4;

/// What one visit of a row found.
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// Seconds of one run.
    pub samples: Vec<f64>,
    /// Seconds that threads ran for it; as many, or none.
    pub threads: Vec<f64>,
}

impl Visit {
    /// The middle one of the times that others disturb least: of threads where there are such.
    fn median(&self) -> f64 {
        median(if self.threads.is_empty() { &self.samples } else { &self.threads })
    }
}

impl Timing {
    /// The samples that are least disturbed by others: thread time where there is one.
    pub fn steady(&self) -> &[f64] {
        self.thread.as_ref().map_or(&self.samples, |thread| &thread.samples)
    }

    /// The figures of some visits.
    pub fn of(clock: Clock, repeats: usize, sets: usize, all: &[Visit]) -> Self {
        let mut quietest: Vec<&Visit> = all.iter().collect();
        quietest.sort_by(|a, b| a.median().total_cmp(&b.median()));
        quietest.truncate(COUNTED);
        let of = |times: fn(&Visit) -> &Vec<f64>| {
            quietest.iter().flat_map(|visit| times(visit)).copied().collect::<Vec<_>>()
        };
        let (samples, threads) = (of(|visit| &visit.samples), of(|visit| &visit.threads));
        let thread = ThreadTiming { summary: Summary::of(&threads), samples: threads };
        Self {
            clock,
            repeats,
            sets,
            summary: Summary::of(&samples),
            samples,
            thread: Some(thread).filter(|thread| !thread.samples.is_empty()),
            visits: all.iter().map(Visit::median).collect(),
        }
    }

    /// The medians of visits, the quietest first.
    fn sorted(&self) -> Vec<f64> {
        let mut visits = self.visits.clone();
        visits.sort_by(f64::total_cmp);
        visits
    }

    /// Seconds of a run in the middle one of all visits: what to expect, where figures are of the quietest.
    pub fn typical(&self) -> f64 {
        let visits = self.sorted();
        self.summary.median * (median(&visits) / median(&visits[..visits.len().min(COUNTED)]))
    }

    /// By what share of the quietest visit the others that count differ from it at most: what a figure may be off by. None of
    /// one visit.
    pub fn drift(&self) -> Option<f64> {
        let visits = self.sorted();
        let last = visits.len().min(COUNTED).checked_sub(1).filter(|&last| last > 0)?;
        Some(visits[last] / visits[0] - 1.0)
    }
}

/// Times that threads ran for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadTiming {
    /// Seconds of one run.
    #[serde(flatten)]
    pub summary: Summary,
    /// As those of the other clock.
    pub samples: Vec<f64>,
}

/// What time was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The processor's clock, before the first run of a sample was asked for and after the last was waited for.
    Wall,
    /// The device's own, before the first run of a sample and after the last.
    Device,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_visits_count() {
        let timing = |medians: &[f64]| {
            let visit = |&median: &f64| Visit { samples: vec![median; 5], threads: Vec::new() };
            Timing::of(Clock::Wall, 1, 2, &medians.iter().map(visit).collect::<Vec<_>>())
        };
        let one = timing(&[3.0]);
        assert_eq!((one.drift(), one.typical(), one.samples.len()), (None, 3.0, 5));
        let timing = timing(&[4.0, 2.0, 9.0, 2.5, 3.0, 2.0, 8.0]);
        assert_eq!((timing.summary.median, timing.summary.n, timing.visits.len()), (2.25, 20, 7));
        assert_eq!((timing.drift(), timing.typical()), (Some(0.5), 3.0));
        // Threads count where their time is told, whatever the clock says.
        let visit = |wall: f64, thread: f64| Visit { samples: vec![wall], threads: vec![thread] };
        let five = [1.0, 2.0, 3.0, 4.0, 5.0].map(|wall| visit(wall, 10.0 - wall));
        let timing = Timing::of(Clock::Wall, 1, 2, &five);
        assert_eq!((timing.summary.median, timing.thread.unwrap().summary.median), (3.5, 6.5));
    }
}
