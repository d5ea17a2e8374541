use std::fmt;

use super::stage::Stage;
use crate::error::Result;
use crate::sampler::Solver;

/// How far a run is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A stage loads its weights.
    Loading(Stage),
    /// A prompt was longer than the model reads.
    PromptCut {
        /// Which of the prompts, counted from 0: the prompt, then the negative one.
        prompt: usize,
        /// What was cut off its end.
        text: String,
    },
    /// A sampling step is done.
    Step {
        /// Steps done.
        done: usize,
        /// Of these.
        total: usize,
    },
    /// Frames are decoded.
    Frame {
        /// Frames done.
        done: usize,
        /// Of these.
        total: usize,
    },
}

/// A callback that is told of progress. To stop a run, use the [`Cancel`](crate::Cancel) of its device handle.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// A callback that sees the sampler after each step: for previews, and for whoever keeps what it takes to go on from there.
/// An error ends the run.
pub type OnStep<'a> = &'a mut dyn FnMut(SamplerState<'_>) -> Result<()>;

/// The sampler after a step.
#[derive(Clone, Copy)]
pub struct SamplerState<'a> {
    pub(super) shape: [usize; 4],
    pub(super) latents: &'a [f32],
    pub(super) velocity: &'a [f32],
    pub(super) sigma: f32,
    pub(super) solver: &'a Solver,
}

impl SamplerState<'_> {
    /// `[C, T, H, W]` of the latent.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The latent at the next noise level, row by row.
    pub fn latents(&self) -> &[f32] {
        self.latents
    }

    /// The noise level of [`latents`](Self::latents); 0 after the last step.
    pub fn sigma(&self) -> f32 {
        self.sigma
    }

    /// The clean latent as the step predicted it, `x - sigma v` (rectified flow, Liu et al., arXiv 2209.03003), row by row.
    pub fn predicted(&self) -> Vec<f32> {
        match self.solver.predicted() {
            Some(clean) => clean.to_vec(),
            // On the straight line of the step every point leads there.
            None => self.latents.iter().zip(self.velocity).map(|(&x, &v)| x - self.sigma * v).collect(),
        }
    }

    /// The solver, with what it remembers of earlier steps.
    pub fn solver(&self) -> &Solver {
        self.solver
    }
}

/// Shape and noise level: a million numbers tell nobody anything.
impl fmt::Debug for SamplerState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SamplerState({:?}, sigma {})", self.shape, self.sigma)
    }
}
