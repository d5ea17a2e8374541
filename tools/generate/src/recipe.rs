//! How a video was made: written into it, read back, run again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zoetrope::{Error, Result, video};

/// The version of this form; a newer one may ask for what this engine does not know.
const VERSION: u32 = 1;

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
    /// Frames a second.
    pub fps: u32,
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
    /// Where: the device, and on a processor its instruction set.
    pub device: String,
    /// The numbers that were computed with.
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
        if version.recipe != VERSION {
            let why = format!("holds one of version {}, this engine knows version {VERSION}", version.recipe);
            return Err(no_recipe(path, why));
        }
        serde_json::from_str(text).map_err(|error| no_recipe(path, format!("holds a damaged one: {error}")))
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
