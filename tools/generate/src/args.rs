//! The flags.

use std::io::Read;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use zoetrope::sampler::{Sampler, Schedule};
use zoetrope::{Error, Result};

/// The most worker threads: with far more, a system spends its time and memory on the threads alone.
pub const MAX_THREADS: u16 = 1024;

/// What is read of a prompt on standard input; the model takes some thousand characters.
const MAX_PROMPT_BYTES: u64 = 1 << 20;

/// Turns a prompt into a video.
#[derive(Parser, Debug)]
#[command(
    name = "generate",
    args_override_self = true,
    after_help = "Examples:\n  \
        generate -m wan2.1-t2v-1.3b \"a cat walks through snow\" -o cat.mp4\n  \
        generate -m wan2.1-t2v-1.3b -p \"a cat walks through snow\" --size 480x272 --frames 33 -t 20 -s 7 -o frames/"
)]
pub struct Args {
    /// What the video shows; - reads it from standard input
    #[arg(value_name = "PROMPT", conflicts_with = "prompt_flag", required_unless_present = "prompt_flag")]
    prompt: Option<String>,

    /// The same as a flag; --prompt=TEXT takes a text that begins with a dash
    #[arg(short = 'p', long = "prompt", value_name = "PROMPT", id = "prompt_flag")]
    prompt_flag: Option<String>,

    /// What the video should not show
    #[arg(short, long, value_name = "PROMPT", default_value = "", hide_default_value = true)]
    pub negative_prompt: String,

    /// Checkpoint folder in the diffusers layout
    #[arg(short, long, value_name = "DIR")]
    pub model: PathBuf,

    /// A .mp4, .gif, .png (animated) or .y4m file, a folder for PNG frames if it ends in a slash, or - for y4m on standard
    /// output [default: PROMPT-SEED.mp4]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// Width and height in pixels, multiples of 16 for Wan
    #[arg(long, value_name = "WxH", default_value = "832x480", value_parser = parse_size, allow_hyphen_values = true)]
    pub size: (usize, usize),

    /// Frames: a multiple of the model's temporal factor (4 for Wan) plus 1
    #[arg(long, value_name = "N", default_value_t = 81, value_parser = parse_count, allow_negative_numbers = true)]
    pub frames: usize,

    /// Length in seconds, rounded to the nearest number of frames that the model can make
    #[arg(long, value_name = "S", conflicts_with = "frames", allow_negative_numbers = true)]
    pub seconds: Option<f64>,

    /// Frames a second
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub fps: u32,

    /// Make every pixel a square of N by N
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub zoom: u16,

    /// Sampling steps
    #[arg(short = 't', long, value_name = "N", default_value_t = 50, value_parser = parse_count, allow_negative_numbers = true)]
    pub steps: usize,

    /// How strongly the prompt steers; at 1 and below the negative prompt is not used
    #[arg(long, value_name = "G", default_value_t = 5.0, allow_negative_numbers = true)]
    pub guidance: f32,

    /// Shift of the step grid towards noise [default: the checkpoint's]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub shift: Option<f64>,

    /// Solver [default: the checkpoint's]
    #[arg(long, value_enum)]
    pub sampler: Option<SamplerArg>,

    /// Step grid: as diffusers, as Wan's own code, or for step-distilled checkpoints
    #[arg(long, value_enum, default_value = "diffusers")]
    pub schedule: ScheduleArg,

    /// The noise levels themselves, largest first; a final 0 is appended
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', allow_negative_numbers = true, conflicts_with_all = ["shift", "schedule"])]
    pub sigmas: Option<Vec<f64>>,

    /// Seed of the noise, of which the low 32 bits count [default: random]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS as i64), allow_negative_numbers = true)]
    pub threads: Option<u16>,

    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceArg,

    /// Replace existing outputs
    #[arg(long)]
    pub force: bool,

    /// Print nothing but errors, and the path of the finished video
    #[arg(short, long)]
    pub quiet: bool,

    /// Also write what the sampler ends with (one tensor `latents`, [C, T, H, W], F32, normalised)
    #[arg(long, value_name = "FILE.safetensors")]
    pub save_latents: Option<PathBuf>,

    /// Start from these latents in place of noise from the seed (same form)
    #[arg(long, value_name = "FILE.safetensors")]
    pub latents: Option<PathBuf>,

    /// Read weights into memory instead of mapping them
    #[arg(long)]
    pub no_mmap: bool,
}

impl Args {
    /// The prompt, which `-` takes from standard input.
    pub fn prompt(&self) -> Result<String> {
        match self.prompt.as_deref().or(self.prompt_flag.as_deref()).unwrap_or_default() {
            "-" => {
                let mut text = String::new();
                let read = std::io::stdin().take(MAX_PROMPT_BYTES).read_to_string(&mut text);
                read.map_err(|source| Error::Io { doing: "read", path: "standard input".into(), source })?;
                Ok(text)
            }
            text => Ok(text.to_owned()),
        }
    }
}

/// A solver.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum SamplerArg {
    /// UniPC, order 2
    Unipc,
    /// Euler
    Euler,
}

impl From<SamplerArg> for Sampler {
    fn from(arg: SamplerArg) -> Self {
        match arg {
            SamplerArg::Unipc => Self::UniPc,
            SamplerArg::Euler => Self::Euler,
        }
    }
}

/// A step grid.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum ScheduleArg {
    /// As diffusers computes it for the checkpoint's scheduler class
    Diffusers,
    /// As the Wan repositories compute it
    Native,
    /// For step-distilled checkpoints
    Distilled,
}

impl From<ScheduleArg> for Schedule {
    fn from(arg: ScheduleArg) -> Self {
        match arg {
            ScheduleArg::Diffusers => Self::Diffusers,
            ScheduleArg::Native => Self::Native,
            ScheduleArg::Distilled => Self::Distilled,
        }
    }
}

/// A device.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum DeviceArg {
    /// The processor
    Cpu,
}

fn parse_size(text: &str) -> std::result::Result<(usize, usize), String> {
    let parsed = text.split_once(['x', 'X', '×']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed.ok_or_else(|| "a size is WIDTHxHEIGHT in pixels, such as 832x480".into())
}

fn parse_count(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "a whole number is expected".into())
}
