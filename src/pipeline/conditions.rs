//! What a video is bound to beside its prompts.
//!
//! A condition is data: it changes what the transformer reads at every step, and the sampler's loop does not know which
//! there are. A new kind is a field of [`Conditions`] and a line in each of its methods.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::models::wan::{self, Times};

/// Everything that a video is bound to beside its prompts; nothing by default.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Conditions {
    /// Latent frames that are given: the first of an image-to-video run (Wan2.2 TI2V), those that a video is extended from.
    pub clean: Option<Clean>,
    /// Channels that the transformer reads beside the latent's own, `[C', T, H, W]` row by row: as many as it has more
    /// than the latent.
    pub channels: Option<Vec<f32>>,
}

/// Latent frames that are given and stay as they are.
#[derive(Clone)]
pub struct Clean {
    /// Latents `[C, T, H, W]` of the whole video, normalised, row by row; those of other frames are not read.
    pub latents: Vec<f32>,
    /// Which latent frames are given; whole patches of frames.
    pub frames: Vec<Range<usize>>,
    /// The timestep that their tokens are told: 0 for clean frames.
    pub timestep: f32,
}

/// Frames and timestep: a million numbers tell nobody anything.
impl fmt::Debug for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clean({:?} at {})", self.frames, self.timestep)
    }
}

impl Conditions {
    /// Checks them against the latent `[C, T, H, W]` of a request and the transformer that reads them.
    pub(super) fn check(&self, latent: [usize; 4], transformer: &wan::Config) -> Result<()> {
        let refuse = |what, why: String| Err(Error::Request { what, why });
        let [channels, frames, height, width] = latent;
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        let more = transformer.in_channels.saturating_sub(channels);
        let given = self.channels.as_ref().map_or(0, Vec::len);
        if given != more * frames * height * width {
            let why = format!(
                "{given} values given; this transformer reads {more} channels beside the latent's {channels}, for this size \
                 {} values",
                more * frames * height * width
            );
            return refuse("conditioning channels", why);
        }
        if self.channels.as_deref().is_some_and(|values| !finite(values)) {
            return refuse("conditioning channels", "some are not finite numbers".into());
        }
        let Some(Clean { latents, frames: ranges, timestep }) = &self.clean else { return Ok(()) };
        if latents.len() != latent.iter().product::<usize>() {
            return refuse("clean latents", format!("{} values given, this size needs {latent:?}", latents.len()));
        }
        let patch = transformer.patch_size[0];
        let mut after = 0;
        for range in ranges {
            let whole = range.start % patch == 0 && range.end % patch == 0;
            if range.start < after || range.end <= range.start || range.end > frames || !whole {
                let why = format!("{range:?} are no latent frames of {frames}, in order and in patches of {patch}");
                return refuse("clean frames", why);
            }
            after = range.end;
        }
        if !self.clean_values(latent).all(|i| latents[i].is_finite()) {
            return refuse("clean latents", "some are not finite numbers".into());
        }
        if !(0.0..=1000.0).contains(timestep) {
            return refuse("clean timestep", format!("{timestep} is no timestep: it must be from 0 to 1000"));
        }
        Ok(())
    }

    /// What the transformer reads for `latents` `[C, T, H, W]`: with the given frames in their places, and the channels
    /// beside them, row by row.
    pub(super) fn input<'a>(&self, latent: [usize; 4], latents: &'a [f32]) -> Cow<'a, [f32]> {
        let mut input = Cow::Borrowed(latents);
        if self.clean.is_some() {
            self.keep_clean(latent, input.to_mut());
        }
        if let Some(channels) = &self.channels {
            input.to_mut().extend_from_slice(channels);
        }
        input
    }

    /// Channels of [`input`](Self::input).
    pub(super) fn input_channels(&self, latent: [usize; 4]) -> usize {
        let [channels, frames, height, width] = latent;
        channels + self.channels.as_ref().map_or(0, |more| more.len() / (frames * height * width))
    }

    /// The timestep of each row of tokens along time, `rows` in all, where the rest is at `timestep`.
    pub(super) fn times(&self, timestep: f32, rows: usize, patch: usize) -> Times {
        let Some(clean) = &self.clean else { return timestep.into() };
        let mut times = Vec::new();
        let mut next = 0;
        for range in &clean.frames {
            times.push((range.start / patch - next, timestep));
            times.push(((range.end - range.start) / patch, clean.timestep));
            next = range.end / patch;
        }
        times.push((rows - next, timestep));
        Times::of_rows(times)
    }

    /// Puts the given frames in their places in `latents` `[C, T, H, W]`.
    pub(super) fn keep_clean(&self, latent: [usize; 4], latents: &mut [f32]) {
        let Some(clean) = &self.clean else { return };
        self.clean_values(latent).for_each(|i| latents[i] = clean.latents[i]);
    }

    /// Places of the given frames' values in a latent.
    fn clean_values(&self, [channels, frames, height, width]: [usize; 4]) -> impl Iterator<Item = usize> + '_ {
        let ranges = self.clean.iter().flat_map(|clean| &clean.frames);
        ranges.flat_map(move |range| {
            (0..channels).flat_map(move |c| {
                let frame = |t: usize| (c * frames + t) * height * width;
                frame(range.start)..frame(range.end)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(frames: Vec<Range<usize>>) -> Conditions {
        let latents = (0..2 * 4 * 2).map(|i| i as f32).collect();
        Conditions { clean: Some(Clean { latents, frames, timestep: 0.0 }), ..Conditions::default() }
    }

    #[test]
    fn given_frames_are_read_in_place_of_noise() {
        let (latent, conditions) = ([2, 4, 1, 2], clean(vec![0..1, 3..4]));
        let input = conditions.input(latent, &[-1.0; 16]);
        let kept: Vec<usize> = (0..16).filter(|&i| input[i] == i as f32).collect();
        assert_eq!(kept, [0, 1, 6, 7, 8, 9, 14, 15]);
        assert!((0..16).all(|i| kept.contains(&i) || input[i] == -1.0));
    }

    #[test]
    fn their_tokens_have_a_time_of_their_own() {
        let times = clean(vec![0..1, 3..4]).times(900.0, 4, 1);
        assert_eq!(times, Times::of_rows(vec![(1, 0.0), (2, 900.0), (1, 0.0)]));
        assert_eq!(Conditions::default().times(900.0, 4, 1), 900.0.into());
    }
}
