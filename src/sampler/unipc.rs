//! UniPC of order 2 with B(h) = e^h - 1, predicting the clean latent (Zhao et al., 2023, arXiv 2302.04867).
//!
//! Flow matching has alpha = 1 - sigma; a step works in lambda = ln(alpha / sigma). Every scalar is rounded to f32 where
//! diffusers 0.42.1, which keeps them in f32 tensors, rounds it; logarithms and exponentials are taken in f64 and rounded
//! once, so that they do not depend on the platform's library.

use super::schedule::NUDGE;
use crate::error::{Error, Result};

/// The highest order that is used; the first step and the last are of order 1.
const ORDER: usize = 2;

/// The solver's memory: three latents once it is under way.
#[derive(Debug)]
pub(super) struct UniPc {
    /// As the grid has them, but for a first one of 1.
    sigmas: Vec<f32>,
    /// ln(alpha / sigma), strictly increasing, infinite at the end.
    lambdas: Vec<f32>,
    /// The clean latent as predicted at the last step, and at the one before.
    last_x0: Vec<f32>,
    older_x0: Vec<f32>,
    /// The corrected latent that the last step started from.
    last_sample: Vec<f32>,
    /// The order of the last step's predictor.
    order: usize,
}

impl UniPc {
    /// A solver for these noise levels: strictly decreasing, the last 0.
    ///
    /// # Errors
    /// [`Error::Request`] if two noise levels are so close to one another that f32 cannot tell their lambda apart.
    pub fn new(sigmas: &[f32]) -> Result<Self> {
        let mut sigmas = sigmas.to_vec();
        if let Some(first) = sigmas.first_mut().filter(|s| (f64::from(**s) - 1.0).abs() < NUDGE) {
            *first = (f64::from(*first) - NUDGE) as f32;
        }
        let lambdas: Vec<f32> = sigmas.iter().map(|&s| ln(1.0 - s) - ln(s)).collect();
        if let Some(i) = lambdas.windows(2).position(|pair| pair[1] <= pair[0] || pair[1].is_nan()) {
            let why = format!(
                "the noise levels of steps {} and {} are too close for UniPC; choose fewer steps, another shift or euler",
                i + 1,
                i + 2
            );
            return Err(Error::Request { what: "sampler", why });
        }
        Ok(Self { sigmas, lambdas, last_x0: vec![], older_x0: vec![], last_sample: vec![], order: 0 })
    }

    /// The number of values of the latent that is being solved for, 0 before the first step.
    pub fn len(&self) -> usize {
        self.last_sample.len()
    }

    /// The clean latent as predicted at the last step; empty before the first.
    pub fn predicted(&self) -> &[f32] {
        &self.last_x0
    }

    /// Corrects `latent` by what the velocity at step `i` tells, then predicts the latent of the next noise level.
    pub fn step(&mut self, i: usize, velocity: &[f32], latent: &mut [f32]) {
        let sigma = self.sigmas[i];
        let x0: Vec<f32> = latent.iter().zip(velocity).map(|(&x, &v)| x - sigma * v).collect();
        if i > 0 {
            self.correct(i, &x0, latent);
        }
        self.older_x0 = std::mem::replace(&mut self.last_x0, x0);
        self.order = ORDER.min(self.sigmas.len() - 1 - i).min(i + 1);
        self.last_sample.clear();
        self.last_sample.extend_from_slice(latent);
        self.predict(i, latent);
    }

    /// UniC: the step that led here, redone with the model's answer `x0` at its end.
    fn correct(&self, i: usize, x0: &[f32], latent: &mut [f32]) {
        let c = Coefficients::new(self.sigmas[i], self.sigmas[i - 1], self.lambdas[i] - self.lambdas[i - 1]);
        if self.order == 1 {
            for (j, x) in latent.iter_mut().enumerate() {
                let m0 = self.last_x0[j];
                *x = c.base(self.last_sample[j], m0) - c.pull * (0.5 * (x0[j] - m0));
            }
            return;
        }
        let ratio = self.ratio(i - 2, i - 1, c.h);
        let [rho_old, rho_new] = c.corrector_weights(ratio);
        for (j, x) in latent.iter_mut().enumerate() {
            let m0 = self.last_x0[j];
            let slope = (self.older_x0[j] - m0) / ratio;
            *x = c.base(self.last_sample[j], m0) - c.pull * (rho_old * slope + rho_new * (x0[j] - m0));
        }
    }

    /// UniP: extrapolates from the clean latents known so far.
    fn predict(&self, i: usize, latent: &mut [f32]) {
        let c = Coefficients::new(self.sigmas[i + 1], self.sigmas[i], self.lambdas[i + 1] - self.lambdas[i]);
        if self.order == 1 {
            for (x, &m0) in latent.iter_mut().zip(&self.last_x0) {
                *x = c.base(*x, m0);
            }
            return;
        }
        let ratio = self.ratio(i - 1, i, c.h);
        for ((x, &m0), &m1) in latent.iter_mut().zip(&self.last_x0).zip(&self.older_x0) {
            *x = c.base(*x, m0) - c.pull * (0.5 * ((m1 - m0) / ratio));
        }
    }

    /// Where `older` lies, seen from `start`, in units of the step `h`; negative.
    fn ratio(&self, older: usize, start: usize, h: f32) -> f32 {
        (self.lambdas[older] - self.lambdas[start]) / h
    }
}

/// The scalars of one step from noise level s to t, over h = lambda_t - lambda_s.
struct Coefficients {
    h: f32,
    /// sigma_t / sigma_s, on the starting latent.
    keep: f32,
    /// alpha_t (e^-h - 1), on the clean latent and, as this is B(h) too, on its differences.
    pull: f32,
}

impl Coefficients {
    fn new(sigma_t: f32, sigma_s: f32, h: f32) -> Self {
        Self { h, keep: sigma_t / sigma_s, pull: (1.0 - sigma_t) * expm1(-h) }
    }

    /// The step of order 1 from `sample`, given the clean latent `x0`.
    fn base(&self, sample: f32, x0: f32) -> f32 {
        self.keep * sample - self.pull * x0
    }

    /// The corrector's weights on the older slope and on the new one: they solve `[1 1; ratio 1] rho = b`.
    fn corrector_weights(&self, ratio: f32) -> [f32; 2] {
        let hh = -self.h;
        let bh = expm1(hh);
        let phi2 = bh / hh - 1.0;
        let phi3 = phi2 / hh - 0.5;
        let (b1, b2) = (phi2 / bh, phi3 * 2.0 / bh);
        // Elimination with partial pivoting, as LAPACK would round it.
        if ratio.abs() > 1.0 {
            let factor = 1.0 / ratio;
            let new = (b1 - factor * b2) / (1.0 - factor);
            [(b2 - new) / ratio, new]
        } else {
            let new = (b2 - ratio * b1) / (1.0 - ratio);
            [b1 - new, new]
        }
    }
}

fn ln(x: f32) -> f32 {
    f64::from(x).ln() as f32
}

fn expm1(x: f32) -> f32 {
    f64::from(x).exp_m1() as f32
}
