//! Checkpoints: what is opened, what is refused, and with which words.

#[path = "../checkpoints/mod.rs"]
mod checkpoints;
mod configs;
mod damaged;
mod folder;
mod fuzz;
mod support;
