//! Counts of what was asked for and what was seen.

use std::fmt::Write as _;

use crate::see::{Object, Seen};
use crate::world::{Attributes, Colour, Ground, Motion, Pair, Shape};

/// The attributes that are judged.
pub const NAMES: [&str; 4] = ["colour", "background", "shape", "motion"];

/// What was asked for against what was seen, over many clips.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pairs: Vec<(Attributes, Seen)>,
}

impl Tally {
    /// Adds a clip.
    pub fn add(&mut self, asked: Attributes, seen: Seen) {
        self.pairs.push((asked, seen));
    }

    /// How many clips there are.
    pub fn clips(&self) -> usize {
        self.pairs.len()
    }

    /// The share of clips in which each attribute is right, in the order of [`NAMES`], and in which all are.
    pub fn right(&self) -> ([f64; 4], f64) {
        let clips = self.pairs.len().max(1) as f64;
        let rights: Vec<[bool; 4]> = self.pairs.iter().map(|(asked, seen)| right(asked, seen)).collect();
        let share = |i: usize| rights.iter().filter(|right| right[i]).count() as f64 / clips;
        let all = rights.iter().filter(|right| **right == [true; 4]).count() as f64 / clips;
        ([0, 1, 2, 3].map(share), all)
    }

    /// The shares that guessing reaches: those of the best constant answer, attribute by attribute.
    pub fn chance(&self) -> [f64; 4] {
        let most = |counts: Vec<usize>| counts.into_iter().max().unwrap_or(0) as f64 / self.pairs.len().max(1) as f64;
        let count = |same: &dyn Fn(&Attributes) -> bool| self.pairs.iter().filter(|(asked, _)| same(asked)).count();
        [
            most(Colour::ALL.iter().map(|value| count(&|asked| asked.colour == *value)).collect()),
            most(Ground::ALL.iter().map(|value| count(&|asked| asked.ground == *value)).collect()),
            most(Shape::ALL.iter().map(|value| count(&|asked| asked.shape == *value)).collect()),
            most(Motion::ALL.iter().map(|value| count(&|asked| asked.motion == *value)).collect()),
        ]
    }

    /// The same clips, each judged by the prompt of the clip that is `by` further on.
    pub fn shifted(&self, by: usize) -> Self {
        let n = self.pairs.len();
        Self { pairs: (0..n).map(|i| (self.pairs[(i + by) % n].0, self.pairs[i].1)).collect() }
    }

    /// A confusion table of each attribute, in Markdown: asked for by row, seen by column.
    pub fn tables(&self) -> String {
        let object = |seen: &Seen| seen.object;
        let mut text = String::new();
        let words: [&[&str]; 4] = [
            &Colour::ALL.iter().map(|v| v.word()).collect::<Vec<_>>(),
            &Ground::ALL.iter().map(|v| v.word()).collect::<Vec<_>>(),
            &Shape::ALL.iter().map(|v| v.word()).collect::<Vec<_>>(),
            &Motion::ALL.iter().map(|v| v.word()).collect::<Vec<_>>(),
        ];
        for (i, name) in NAMES.iter().enumerate() {
            let index = |asked: &Attributes, seen: &Seen| match i {
                0 => (asked.colour as usize, object(seen).map(|object| object.colour as usize)),
                1 => (asked.ground as usize, Some(seen.ground as usize)),
                2 => (asked.shape as usize, object(seen).map(|object| object.shape as usize)),
                _ => (asked.motion as usize, object(seen).map(|object| object.motion as usize)),
            };
            let values = words[i];
            let mut counts = vec![vec![0_usize; values.len() + 1]; values.len()];
            for (asked, seen) in &self.pairs {
                let (row, column) = index(asked, seen);
                counts[row][column.unwrap_or(values.len())] += 1;
            }
            // Writing to a string cannot fail.
            let _ =
                writeln!(text, "| {name} | {} | none |\n|---|{}", values.join(" | "), "---|".repeat(values.len() + 1));
            for (value, row) in values.iter().zip(counts) {
                let cells = row.iter().map(|n| if *n == 0 { "".into() } else { n.to_string() });
                let _ = writeln!(text, "| {value} | {} |", cells.collect::<Vec<String>>().join(" | "));
            }
            text.push('\n');
        }
        text
    }
}

/// Which attributes are right.
pub fn right(asked: &Attributes, seen: &Seen) -> [bool; 4] {
    let object = seen.object;
    [
        object.is_some_and(|object| object.colour == asked.colour),
        seen.ground == asked.ground,
        object.is_some_and(|object| object.shape == asked.shape),
        object.is_some_and(|object| object.motion == asked.motion),
    ]
}

/// What is judged of pairs: both colours are there, each has its shape, each its motion.
pub const PAIR_NAMES: [&str; 3] = ["both colours", "each its shape", "each its motion"];

/// Whether both objects of a pair are seen: by colour, with their shapes, with their motions, as [`PAIR_NAMES`].
pub fn bound(asked: &Pair, seen: &[Object]) -> [bool; 3] {
    let both = |same: &dyn Fn(&Attributes, &Object) -> bool| {
        asked.0.iter().all(|one| seen.iter().any(|object| object.colour == one.colour && same(one, object)))
    };
    [
        both(&|_, _| true),
        both(&|one, object| object.shape == one.shape),
        both(&|one, object| object.motion == one.motion),
    ]
}
