//! Ops of a run, counted.

use crate::case::Case;

/// Part of a run that estimates list on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The text encoder.
    TextEncoder,
    /// The transformer's linear layers.
    Gemm,
    /// Its attention.
    Attention,
    /// Its other ops.
    Other,
    /// The VAE's decoder.
    Vae,
}

impl Part {
    /// All of them, in the order of a run.
    pub const ALL: [Self; 5] = [Self::TextEncoder, Self::Gemm, Self::Attention, Self::Other, Self::Vae];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "UMT5",
            Self::Gemm => "GEMM",
            Self::Attention => "attention",
            Self::Other => "other",
            Self::Vae => "VAE",
        }
    }

    /// Where an op of the transformer belongs.
    pub(super) fn of(case: &Case) -> Self {
        match case {
            Case::Linear(_) => Self::Gemm,
            Case::Attention(_) => Self::Attention,
            _ => Self::Other,
        }
    }
}

/// An op, how often it runs, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where.
    pub part: Part,
    /// What.
    pub case: Case,
    /// How often.
    pub count: usize,
}
