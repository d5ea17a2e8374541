//! The solvers: from one noise level to the next.

use super::method::Sampler;
use super::schedule::Grid;
use super::{euler, unipc};
use crate::error::{Error, Result};

/// A sampler under way over one grid.
#[derive(Debug)]
pub struct Solver {
    sigmas: Vec<f32>,
    next: usize,
    method: Method,
}

#[derive(Debug)]
enum Method {
    UniPc(unipc::UniPc),
    Euler,
}

impl Solver {
    /// A solver at the start of `grid`; UniPC takes a first sigma of 1 as 1 - 1e-6, whose logarithms are finite.
    ///
    /// # Errors
    /// [`Error::Request`] if neighbouring noise levels are too close for UniPC.
    pub fn new(sampler: Sampler, grid: &Grid) -> Result<Self> {
        let method = match sampler {
            Sampler::UniPc => Method::UniPc(unipc::UniPc::new(grid.sigmas())?),
            Sampler::Euler => Method::Euler,
        };
        Ok(Self { sigmas: grid.sigmas().to_vec(), next: 0, method })
    }

    /// The number of steps taken so far: the index into the grid's timesteps of what `step` expects next.
    pub fn steps_done(&self) -> usize {
        self.next
    }

    /// The clean latent as the last step predicted it, if the method remembers it.
    pub fn predicted(&self) -> Option<&[f32]> {
        match &self.method {
            Method::UniPc(unipc) => Some(unipc.predicted()).filter(|clean| !clean.is_empty()),
            Method::Euler => None,
        }
    }

    /// Takes `latent` to the next noise level, given the transformer's (guided) velocity at this one; any layout, both of
    /// one length, the same at every step.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ; [`Error::Request`] if the last step is done already.
    pub fn step(&mut self, velocity: &[f32], latent: &mut [f32]) -> Result<()> {
        let i = self.next;
        if i + 1 >= self.sigmas.len() {
            return Err(Error::Request { what: "sampler", why: format!("all {i} steps are done") });
        }
        let refuse = |right: usize, why| {
            Err(Error::Shape { op: "sampler", left: [latent.len()].into(), right: [right].into(), why })
        };
        if latent.len() != velocity.len() {
            return refuse(velocity.len(), "latent and velocity have the same number of values");
        }
        match &mut self.method {
            Method::UniPc(unipc) => {
                if i > 0 && unipc.len() != latent.len() {
                    return refuse(unipc.len(), "the latent keeps its number of values from step to step");
                }
                unipc.step(i, velocity, latent);
            }
            Method::Euler => euler::step(self.sigmas[i], self.sigmas[i + 1], velocity, latent),
        }
        self.next += 1;
        Ok(())
    }
}
