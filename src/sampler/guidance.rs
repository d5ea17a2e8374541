//! Classifier-free guidance.

use crate::error::{Error, Result};

/// How strongly a prompt steers the sampler (Ho and Salimans, 2022, in the form u + s (c - u)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    scale: f32,
}

impl Guidance {
    /// A guidance of this scale; at 1 or below the unconditional branch is not needed at all.
    ///
    /// # Errors
    /// [`Error::Request`] if the scale is not a finite number.
    pub fn new(scale: f32) -> Result<Self> {
        if !scale.is_finite() {
            return Err(Error::Request { what: "guidance", why: format!("{scale} is not a finite number") });
        }
        Ok(Self { scale })
    }

    /// Whether the transformer must also run on the negative prompt.
    pub fn needs_uncond(self) -> bool {
        self.scale > 1.0
    }

    /// Replaces the prompt's velocity `cond` by the guided one, given the negative prompt's; both of one length.
    ///
    /// # Errors
    /// [`Error::Shape`] if the lengths differ.
    pub fn combine(self, cond: &mut [f32], uncond: &[f32]) -> Result<()> {
        if cond.len() != uncond.len() {
            return Err(Error::Shape {
                op: "guidance",
                left: [cond.len()].into(),
                right: [uncond.len()].into(),
                why: "both branches have the same number of values",
            });
        }
        for (c, &u) in cond.iter_mut().zip(uncond) {
            *c = u + self.scale * (*c - u);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_extrapolates_from_the_unconditional_branch() {
        let mut cond = [1.0, -2.0, 0.5];
        Guidance::new(5.0).unwrap().combine(&mut cond, &[0.0, -1.0, 0.5]).unwrap();
        assert_eq!(cond, [5.0, -6.0, 0.5]);
    }

    #[test]
    fn one_branch_is_enough_up_to_a_scale_of_one() {
        assert!(!Guidance::new(0.0).unwrap().needs_uncond());
        assert!(!Guidance::new(1.0).unwrap().needs_uncond());
        assert!(Guidance::new(1.01).unwrap().needs_uncond());
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        assert!(matches!(Guidance::new(f32::NAN), Err(Error::Request { what: "guidance", .. })));
        assert!(matches!(Guidance::new(f32::INFINITY), Err(Error::Request { .. })));
        assert!(matches!(Guidance::new(2.0).unwrap().combine(&mut [1.0], &[]), Err(Error::Shape { .. })));
    }
}
