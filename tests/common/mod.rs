//! What every device is judged by: plain f64 loops, the cases that they are run on, and the comparison.
//!
//! Compiled into several test crates with `#[path]`, so it needs nothing but std and `half`.
#![allow(dead_code, reason = "each test crate takes the ops that it has")]

pub mod cases;
pub mod compare;
pub mod data;
pub mod reference;
