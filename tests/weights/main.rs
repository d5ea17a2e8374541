//! Checkpoints: what is opened, what is refused, and with which words.

mod configs;
mod damaged;
mod folder;
mod fuzz;
mod support;
