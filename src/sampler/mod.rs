//! From noise to a latent: step grids, guidance and the two solvers.
//!
//! A run takes a [`Grid`] from a [`Schedule`], starts from [`randn`](crate::tensor::rng::randn), and for each of the grid's
//! timesteps asks the transformer for a velocity, combines its two branches by [`Guidance`] and hands it to
//! [`Solver::step`].

mod config;
mod euler;
mod guidance;
mod method;
mod schedule;
mod solver;
#[cfg(test)]
mod tests;
mod unipc;

pub use config::{SchedulerClass, SchedulerConfig};
pub use guidance::Guidance;
pub use method::Sampler;
pub use schedule::{Grid, Schedule};
pub use solver::Solver;
