//! How a video was made: written into it, read back, run again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zoetrope::video::FrameRate;
use zoetrope::{Error, Precision, Result, video};

/// The version of this form; a newer one may ask for what this engine does not know.
const VERSION: u32 = 2;

/// Version 1 has no build, the device's displayed name with its precision in place of its identity, and `f32` for every
/// precision.
const FIRST: u32 = 1;

/// Far more than any recipe; a longer file is none.
const MAX_BYTES: u64 = 1 << 20;

/// Everything that decides the frames of a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The version of this form.
    pub recipe: u32,
    /// The engine and its version.
    pub engine: String,
    /// [The kernels and shaders](crate::identity::build) that computed; version 1 has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// What the video shows.
    pub prompt: String,
    /// What it does not.
    pub negative_prompt: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Pixels across, before the zoom.
    pub width: usize,
    /// Pixels down, before the zoom.
    pub height: usize,
    /// Frames.
    pub frames: usize,
    /// Frames per second; a text such as `24000/1001` if they are not whole.
    pub fps: FrameRate,
    /// The edge of a pixel in the file.
    pub zoom: u16,
    /// Sampling steps.
    pub steps: usize,
    /// The step grid's name; none if `sigmas` are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The shift of the step grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<f64>,
    /// The noise levels themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// The solver.
    pub sampler: String,
    /// How strongly the prompt steered.
    pub guidance: f32,
    /// What was run.
    pub checkpoint: CheckpointId,
    /// Where: [the device's identity](crate::identity::device).
    pub device: String,
    /// The device's precision, `full` or `half`; version 1 has `f32`, whatever it was.
    pub precision: String,
    /// SHA-256 of the latents that took the place of the seed's noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latents: Option<String>,
}

/// What tells one checkpoint from another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointId {
    /// The folder's name.
    pub name: String,
    /// [`zoetrope::weights::Checkpoint::fingerprint`].
    pub fingerprint: String,
}

impl Recipe {
    /// The version that this engine writes.
    pub const VERSION: u32 = VERSION;

    /// What is written into a video.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a recipe is numbers and text")
    }

    /// What people read.
    pub fn to_pretty_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a recipe is numbers and text")
    }

    /// The recipe inside a video or a folder of frames, or of a file of JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match json(path)? {
            Some(text) => text,
            None => video::read_comment(path)?.ok_or_else(|| {
                no_recipe(path, "holds none: it was made by another program, or with --no-recipe".into())
            })?,
        };
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        // The version first: what else a newer recipe holds is not known here.
        #[derive(Deserialize)]
        struct Version {
            recipe: u32,
        }
        let version: Version = serde_json::from_str(text)
            .map_err(|error| no_recipe(path, format!("holds another text in its place ({error})")))?;
        if !(FIRST..=VERSION).contains(&version.recipe) {
            let why = format!("holds one of version {}, this engine knows {FIRST} to {VERSION}", version.recipe);
            return Err(no_recipe(path, why));
        }
        let damaged = |why: String| no_recipe(path, format!("holds a damaged one: {why}"));
        let recipe: Self = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if recipe.recipe > FIRST {
            recipe.precision.parse::<Precision>().map_err(|error| damaged(error.to_string()))?;
        }
        Ok(recipe)
    }

    /// The name that the device had, without its precision.
    pub fn device_name(&self) -> &str {
        if self.recipe == FIRST { Precision::of(&self.device).0 } else { &self.device }
    }

    /// The precision that it computed in.
    pub fn device_precision(&self) -> Precision {
        if self.recipe == FIRST { Precision::of(&self.device).1 } else { self.precision.parse().unwrap_or_default() }
    }
}

/// The text of a file that begins as JSON does.
fn json(path: &Path) -> Result<Option<String>> {
    let io = |doing| move |source| Error::Io { doing, path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(None);
    }
    let mut file = File::open(path).map_err(io("open"))?;
    let mut start = [0; 1];
    if file.read(&mut start).map_err(io("read"))? == 0 || start != *b"{" {
        return Ok(None);
    }
    let mut text = String::from("{");
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(io("read"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(no_recipe(path, "is too long for one".into()));
    }
    Ok(Some(text))
}

fn no_recipe(path: &Path, why: String) -> Error {
    Error::Config { file: path.to_owned(), key: "recipe".into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_VERSION: &str = r#"{"recipe": 1, "engine": "zoetrope 0.1.0", "prompt": "a cat", "negative_prompt": "",
        "seed": 7, "width": 80, "height": 48, "frames": 5, "fps": 16, "zoom": 1, "steps": 3, "schedule": "diffusers",
        "shift": 3.0, "sampler": "unipc", "guidance": 5.0, "checkpoint": {"name": "b", "fingerprint": "0"},
        "device": "vulkan Some GPU, driver 1, half precision", "precision": "f32"}"#;

    fn parse(text: &str) -> Result<Recipe> {
        Recipe::parse(Path::new("a.mp4"), text)
    }

    #[test]
    fn version_1_is_still_read() {
        let recipe = parse(FIRST_VERSION).unwrap();
        assert_eq!(recipe.device_precision(), Precision::Half);
        assert_eq!(recipe.device_name(), "vulkan Some GPU, driver 1");
        assert_eq!((recipe.fps, recipe.build.as_deref()), (16.into(), None));
        assert_eq!(parse(&recipe.to_json()).unwrap(), recipe, "and stays what it was");
    }

    #[test]
    fn version_2_says_its_precision_and_rates_that_are_not_whole() {
        let second = FIRST_VERSION
            .replace("\"recipe\": 1", "\"recipe\": 2, \"build\": \"x\"")
            .replace("\"f32\"", "\"half\"")
            .replace("\"fps\": 16", "\"fps\": \"24000/1001\"");
        let recipe = parse(&second).unwrap();
        assert_eq!(recipe.device_precision(), Precision::Half);
        assert_eq!((recipe.fps.numerator(), recipe.fps.denominator()), (24_000, 1001));
        let damaged = parse(&second.replace("\"half\"", "\"f32\"")).unwrap_err().to_string();
        assert!(damaged.contains("a.mp4") && damaged.contains("damaged") && damaged.contains("f32"), "{damaged}");
        let newer = parse(&second.replace("\"recipe\": 2", "\"recipe\": 3")).unwrap_err().to_string();
        assert!(newer.contains("version 3") && newer.contains("1 to 2"), "{newer}");
    }
}
