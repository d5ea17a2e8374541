//! Checks that configurations share.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::weights::json;

/// Widths of a model. The bounds on sizes are far above any published model's and low enough that no product of them
/// overflows and no table of names becomes large.
pub(super) const WIDTH: RangeInclusive<usize> = 1..=1 << 16;
/// Numbers of layers.
pub(super) const LAYERS: RangeInclusive<usize> = 1..=1000;

/// Checks the values of one configuration file.
pub(super) struct Check<'a> {
    pub(super) file: &'a Path,
}

impl Check<'_> {
    /// An error about `key`.
    pub(super) fn fail<T>(&self, key: &str, why: impl Into<String>) -> Result<T> {
        Err(Error::config(self.file, key, why))
    }

    pub(super) fn within(&self, key: &str, value: usize, bounds: RangeInclusive<usize>) -> Result<()> {
        if bounds.contains(&value) {
            return Ok(());
        }
        self.fail(key, format!("expected {} to {}, found {value}", bounds.start(), bounds.end()))
    }

    /// A product of two checked sizes, which must be within [`WIDTH`] too.
    pub(super) fn width(&self, key: &str, a: usize, b: usize) -> Result<()> {
        match a.checked_mul(b) {
            Some(product) if WIDTH.contains(&product) => Ok(()),
            _ => self.fail(key, format!("{a} x {b} is wider than {}", WIDTH.end())),
        }
    }

    /// A number added under a root or a divisor.
    pub(super) fn epsilon(&self, key: &str, value: f32) -> Result<()> {
        if value > 0.0 && value < 1.0 {
            return Ok(());
        }
        self.fail(key, format!("expected a number between 0 and 1, found {value}"))
    }

    /// The class that a file says it is of; files without one pass.
    pub(super) fn class(&self, key: &str, found: Option<&Value>, expected: &str) -> Result<()> {
        match found {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(class)) if class == expected => Ok(()),
            Some(other) => self.fail(key, format!("expected {expected}, found {}", json::short(other))),
        }
    }

    /// An option that has no place in this engine yet.
    pub(super) fn unset(&self, key: &str, value: Option<&Value>, what: &str) -> Result<()> {
        match value {
            None | Some(Value::Null) => Ok(()),
            Some(value) => self.fail(key, format!("{what} not supported, expected null, found {}", json::short(value))),
        }
    }
}
