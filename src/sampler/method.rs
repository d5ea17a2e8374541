//! The methods by name.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A method to integrate the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// UniPC of order 2 with its corrector: Wan's own choice.
    UniPc,
    /// Euler's method: for step-distilled checkpoints.
    Euler,
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UniPc => "unipc",
            Self::Euler => "euler",
        })
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "unipc" => Ok(Self::UniPc),
            "euler" => Ok(Self::Euler),
            _ => Err(Error::Request {
                what: "sampler",
                why: format!("there is no sampler {name:?}: choose unipc or euler"),
            }),
        }
    }
}
