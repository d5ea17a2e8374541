//! What a checkpoint is best run with: `zoetrope.json`.

use std::path::Path;

use serde_json::{Map, Value};

use super::limits::Limits;
use crate::error::{Error, Result};
use crate::sampler::{Guidance, Schedule, SchedulerConfig};
use crate::video::FrameRate;
use crate::weights::{Checkpoint, Warning, json, shown};

/// The file's name, beside `model_index.json`.
pub(crate) const FILE: &str = "zoetrope.json";

/// Frames a second that a player keeps up with.
const FPS: std::ops::RangeInclusive<u64> = 1..=240;
/// Sides of the square that a pixel may become.
const ZOOM: std::ops::RangeInclusive<u64> = 1..=64;

/// Rows of the embedding of the text encoder that every published Wan has.
const WAN_VOCABULARY: usize = 256_384;
/// The negative prompt that Wan's own code uses where none is given (`sample_neg_prompt` of `shared_config.py`).
const WAN_NEGATIVE_PROMPT: &str = "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，\
    最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，\
    形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

/// What a request asks for unless it is told otherwise: what the checkpoint's `zoetrope.json` says, else Wan's own.
///
/// The file is optional, stands beside `model_index.json` and has at most 1 MiB; diffusers passes over it. So are its
/// keys, and null is as good as absent:
///
/// ```json
/// {
///   "size": "320x192", "frames": 33, "fps": 12, "steps": 20, "guidance": 4.5, "negative_prompt": "",
///   "known_words": ["a", "boat", "lake"], "zoom": 2
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Defaults {
    /// Pixels across, 832 unless told otherwise; the first half of `size`.
    pub width: usize,
    /// Pixels down, 480 unless told otherwise; the second half of `size`.
    pub height: usize,
    /// Frames, 81 unless told otherwise.
    pub frames: usize,
    /// Frames per second, 16 unless told otherwise; at most 240.
    pub fps: FrameRate,
    /// Sampling steps, 50 unless told otherwise.
    pub steps: usize,
    /// Scale of classifier-free guidance, 5 unless told otherwise.
    pub guidance: f32,
    /// What a video does not show; unless told otherwise Wan's own where the text encoder has Wan's vocabulary of 256,384,
    /// else empty.
    pub negative_prompt: String,
    /// The words that a small checkpoint was trained on, if it says so.
    pub known_words: Option<Vec<String>>,
    /// The side of the square of pixels that each pixel becomes in the file, 1 unless told otherwise; at most 64.
    pub zoom: usize,
}

impl Default for Defaults {
    /// Wan's, without a negative prompt.
    fn default() -> Self {
        Self {
            width: 832,
            height: 480,
            frames: 81,
            fps: FrameRate::from(16),
            steps: 50,
            guidance: 5.0,
            negative_prompt: String::new(),
            known_words: None,
            zoom: 1,
        }
    }
}

impl Defaults {
    /// Those of a checkpoint, held against what its models can do, and a warning about keys that are not known.
    pub(crate) fn read(
        checkpoint: &Checkpoint,
        limits: &Limits,
        vocabulary: Option<usize>,
        scheduler: &SchedulerConfig,
    ) -> Result<(Self, Option<Warning>)> {
        let mut defaults = Self::default();
        if vocabulary == Some(WAN_VOCABULARY) {
            defaults.negative_prompt = WAN_NEGATIVE_PROMPT.to_owned();
        }
        let Some((file, object)) = checkpoint.optional_object(FILE)? else { return Ok((defaults, None)) };
        let mut keys = Keys { file: &file, object };
        if let Some((width, height)) = keys.take("size", "\"WIDTHxHEIGHT\" in pixels, such as \"832x480\"", size)? {
            keys.refuse("size", limits.check_size(width, height))?;
            (defaults.width, defaults.height) = (width, height);
        }
        if let Some(frames) = keys.take("frames", "a whole number, such as 81", whole)? {
            keys.refuse("frames", limits.frames().check(frames))?;
            defaults.frames = frames;
        }
        let fps = keys.take("fps", "a whole number from 1 to 240, such as 16", |value| {
            value.as_u64().filter(|fps| FPS.contains(fps)).map(|fps| FrameRate::from(fps as u32))
        })?;
        defaults.fps = fps.unwrap_or(defaults.fps);
        if let Some(steps) = keys.take("steps", "a whole number, such as 50", whole)? {
            keys.refuse("steps", Schedule::default().grid(scheduler, steps, None))?;
            defaults.steps = steps;
        }
        if let Some(guidance) = keys.take("guidance", "a number, such as 5.0", Value::as_f64)? {
            keys.refuse("guidance", Guidance::new(guidance as f32))?;
            defaults.guidance = guidance as f32;
        }
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let negative = keys.take("negative_prompt", "a text, which may be empty", text)?;
        defaults.negative_prompt = negative.unwrap_or(defaults.negative_prompt);
        defaults.known_words = keys.take("known_words", "a list of words, such as [\"a\", \"boat\"]", |value| {
            value.as_array()?.iter().map(text).collect()
        })?;
        let zoom = keys.take("zoom", "a whole number from 1 to 64, such as 1", |value| {
            value.as_u64().filter(|zoom| ZOOM.contains(zoom)).map(|zoom| zoom as usize)
        })?;
        defaults.zoom = zoom.unwrap_or(defaults.zoom);
        let warning = keys.warning();
        Ok((defaults, warning))
    }
}

/// The keys of the file that have not been read yet.
struct Keys<'a> {
    file: &'a Path,
    object: Map<String, Value>,
}

impl Keys<'_> {
    /// Takes a key out; `expected` completes "expected ...".
    fn take<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.object.remove(key).filter(|value| !value.is_null()) else { return Ok(None) };
        let wrong = || Error::config(self.file, key, format!("expected {expected}, found {}", json::short(&value)));
        read(&value).map(Some).ok_or_else(wrong)
    }

    /// What no request could ask for is the file's mistake here.
    fn refuse<T>(&self, key: &str, checked: Result<T>) -> Result<()> {
        checked.map(drop).map_err(|error| match error {
            Error::Request { what, why } if what == key => Error::config(self.file, key, why),
            Error::Request { what, why } => Error::config(self.file, key, format!("{what}: {why}")),
            other => other,
        })
    }

    /// About what is left.
    fn warning(self) -> Option<Warning> {
        let keys: Vec<String> = self.object.keys().map(|key| shown(key)).collect();
        (!keys.is_empty()).then(|| Warning::UnknownKeys { file: self.file.to_owned(), keys })
    }
}

/// A whole number.
fn whole(value: &Value) -> Option<usize> {
    value.as_u64()?.try_into().ok()
}

/// A width and a height.
fn size(value: &Value) -> Option<(usize, usize)> {
    let (width, height) = value.as_str()?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::hex;

    /// The published text has 137 characters; this is the hash of its UTF-8.
    #[test]
    fn the_negative_prompt_is_wans_to_the_byte() {
        const SHA256: &str = "ce96e0324e4b54ce4b6e867f669ca520952e1a34cc116543516b1897f0d3c47e";
        let hash = hex(&hmac_sha256::Hash::hash(WAN_NEGATIVE_PROMPT.as_bytes()));
        assert_eq!((hash.as_str(), WAN_NEGATIVE_PROMPT.chars().count()), (SHA256, 137));
    }
}
