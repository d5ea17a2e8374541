//! The sampler's loop: the one place where noise becomes a latent.
//!
//! It knows latents to start from, a grid of noise levels, one transformer or two, branches of guidance and
//! [`Conditions`]. What a new kind of video needs is a condition, not a second loop.

use super::conditions::Conditions;
use super::loaded::Expert;
use super::open::Pipeline;
use super::progress::{OnProgress, OnStep, Progress, SamplerState};
use super::request::{Checked, Request};
use crate::device::Device;
use crate::error::Result;
use crate::sampler::Solver;
use crate::tensor::{Tensor, rng};

impl Pipeline {
    /// From a request to final latents `[C, T, H, W]`, normalised as the transformer sees them.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request), [`Error::Checkpoint`](crate::Error::Checkpoint),
    /// [`Error::Tokenizer`](crate::Error::Tokenizer), [`Error::NotFinite`](crate::Error::NotFinite),
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Cancelled`](crate::Error::Cancelled).
    pub fn sample(&self, device: &Device, request: &Request, progress: OnProgress) -> Result<Tensor> {
        self.sample_observed(device, request, progress, &mut |_| Ok(()))
    }

    /// [`sample`](Self::sample), with a look at the sampler after each step.
    ///
    /// # Errors
    /// As [`sample`](Self::sample), and whatever `on_step` returns.
    pub fn sample_observed(
        &self,
        device: &Device,
        request: &Request,
        progress: OnProgress,
        on_step: OnStep,
    ) -> Result<Tensor> {
        let checked = request.check(self.components())?;
        let texts = self.encode(device, &request.prompts(), progress)?;
        let latents = match &request.latents {
            Some(latents) => latents.clone(),
            None => rng::randn(request.seed, checked.latent.iter().product()),
        };
        let solver = Solver::new(checked.sampler, &checked.grid)?;
        let conditions = &request.conditions;
        let run = Denoise { pipeline: self, device, checked: &checked, conditions, texts, solver, latents };
        Tensor::from_slice(device, checked.latent, &run.finish(progress, on_step)?)
    }
}

/// A latent on its way through the grid.
struct Denoise<'a> {
    pipeline: &'a Pipeline,
    device: &'a Device,
    checked: &'a Checked,
    conditions: &'a Conditions,
    /// Embeddings of the prompt, and of the negative one if any step is guided.
    texts: Vec<Tensor>,
    /// Where the run is: what the solver remembers, and the latent at its noise level.
    solver: Solver,
    latents: Vec<f32>,
}

impl Denoise<'_> {
    /// Takes all steps that are left and returns the final latent.
    fn finish(mut self, progress: OnProgress, on_step: OnStep) -> Result<Vec<f32>> {
        let Checked { latent, grid, .. } = self.checked;
        let mut expert: Option<Expert> = None;
        for step in self.solver.steps_done()..grid.steps() {
            let which = self.pipeline.expert_at(grid.timesteps()[step]);
            let current = match expert.take().filter(|expert| expert.which == which) {
                Some(expert) => expert,
                // The one before is gone by now: only one needs memory at a time.
                None => self.pipeline.load_expert(self.device, which, &self.texts, progress)?,
            };
            let velocity = self.step(step, &current)?;
            let (sigma, total) = (grid.sigmas()[step + 1], grid.steps());
            let (latents, velocity, solver) = (&self.latents[..], &velocity[..], &self.solver);
            on_step(SamplerState { shape: *latent, latents, velocity, sigma, solver })?;
            progress(Progress::Step { done: step + 1, total });
            expert = Some(current);
        }
        drop(expert);
        self.device.release_unused();
        self.conditions.keep_clean(*latent, &mut self.latents);
        Ok(self.latents)
    }

    /// One step: the guided velocity at this noise level, by which the latent goes to the next.
    fn step(&mut self, step: usize, expert: &Expert) -> Result<Vec<f32>> {
        let Checked { latent, grid, guidance, .. } = self.checked;
        let guidance = guidance[expert.which];
        let [_, frames, height, width] = *latent;
        let patch = expert.transformer.config().patch_size[0];
        let shape = [self.conditions.input_channels(*latent), frames, height, width];
        let input = Tensor::from_slice(self.device, shape, &self.conditions.input(*latent, &self.latents))?;
        let times = self.conditions.times(grid.timesteps()[step], frames / patch, patch);
        let texts = expert.texts(guidance.needs_uncond());
        let forward = || expert.transformer.forward(&input, times.clone(), &texts);
        let branches = forward()?;
        let mut velocity = branches[0].to_vec()?;
        if let Some(uncond) = branches.get(1) {
            guidance.combine(&mut velocity, &uncond.values()?)?;
        }
        drop(branches);
        self.solver.step(&velocity, &mut self.latents)?;
        if !self.latents.iter().all(|value| value.is_finite()) {
            return Err(self.device.examine((expert.stage().name(), Some(step + 1)), forward));
        }
        Ok(velocity)
    }
}
