//! The flags.

use std::io::Read;
use std::path::PathBuf;

use clap::{ArgAction, Parser, ValueEnum};
use clap_complete::Shell;
use program::devices::{DeviceChoice, DeviceSettings};
use program::job::JobOptions;
use program::recipe::Recipe;
use program::settings::{Overrides, Seed};
use program::target::{Target, is_stream};
use program::text_cache::TextCache;
use program::threads::MAX_THREADS;
use zoetrope::sampler::{Sampler, Schedule};
use zoetrope::video::FrameRate;
use zoetrope::weights::Mapping;
use zoetrope::{Cancel, Error, Precision, Result};

/// The longest prompt on standard input, in bytes; the model reads some thousand characters.
const MAX_PROMPT_BYTES: u64 = 1 << 20;

/// The most frames per second.
const MAX_FPS: u32 = 240;

const INPUT: &str = "What to make";
const SIZE: &str = "Size and length";
const SAMPLING: &str = "Sampling";
const OUTPUT: &str = "Output";
const RUN: &str = "How to run";
const MODES: &str = "Instead of generating (one at most)";

/// What stands in place of a prompt.
const NO_PROMPT: [&str; 9] = [
    "prompt_flag",
    "recipe",
    "plan",
    "show_recipe",
    "export_bundled",
    "list_devices",
    "self_test",
    "completions",
    "man",
];

/// Turns a prompt into a video.
#[derive(Parser, Debug)]
#[command(
    name = "generate",
    args_override_self = true,
    disable_help_flag = true,
    disable_version_flag = true,
    group = clap::ArgGroup::new("mode").multiple(false),
    after_help = "\
Examples:
  generate \"a red circle moving right on a blue background\"
  generate -m wan2.1-t2v-1.3b \"a cat walks through snow\" -o cat.mp4
  generate -m wan2.1-t2v-1.3b -p \"a cat\" --size 480x272 --seconds 2 -t 20 -s 7 -o frames/
  generate -m wan2.1-t2v-1.3b --plan --size 480x272 --frames 33
  generate -m wan2.1-t2v-1.3b --recipe cat.mp4 --seed 8
  generate -m wan2.1-t2v-1.3b \"a cat\" -o - | ffmpeg -i - cat.webm

Defaults of size, length, steps, guidance and negative prompt are the checkpoint's (its zoetrope.json), else Wan's: 832x480, 81 frames, 16 fps, 50 steps, guidance 5.

Exit status: 0 done, 1 failed, 2 asked for what cannot be, 130 interrupted. Standard output carries the path of the finished video and nothing else, or the events of --json, or the video itself with -o -."
)]
pub struct Args {
    /// What the video shows; - reads it from standard input
    #[arg(value_name = "PROMPT", conflicts_with = "prompt_flag", required_unless_present_any = NO_PROMPT)]
    prompt: Option<String>,

    /// The same as a flag; --prompt=TEXT takes a text that begins with a dash
    #[arg(short = 'p', long = "prompt", value_name = "PROMPT", id = "prompt_flag", help_heading = INPUT)]
    prompt_flag: Option<String>,

    /// What the video should not show
    #[arg(short, long, value_name = "PROMPT", help_heading = INPUT)]
    pub negative_prompt: Option<String>,

    /// Checkpoint folder in the diffusers layout [default: bundled, the small one in this program, which knows moving
    /// shapes alone]
    #[arg(short, long, value_name = "DIR", help_heading = INPUT)]
    pub model: Option<PathBuf>,

    /// Make a video again: the recipe inside it, or a file of JSON as --show-recipe prints it. Other flags override it
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub recipe: Option<PathBuf>,

    /// Width and height in pixels, multiples of 16 for Wan
    #[arg(long, value_name = "WxH", value_parser = parse_size, allow_hyphen_values = true, help_heading = SIZE)]
    pub size: Option<(usize, usize)>,

    /// Frames: a multiple of the model's temporal factor (4 for Wan) plus 1
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = SIZE)]
    pub frames: Option<usize>,

    /// Length in seconds, rounded to the nearest number of frames that the model can make
    #[arg(long, value_name = "S", conflicts_with = "frames", allow_negative_numbers = true, help_heading = SIZE)]
    pub seconds: Option<f64>,

    /// Frames per second, 1 to 240: a whole number, 24000/1001 or 23.976, which means the same
    #[arg(long, value_name = "N", value_parser = parse_fps, allow_hyphen_values = true, help_heading = SIZE)]
    pub fps: Option<FrameRate>,

    /// Sampling steps
    #[arg(short = 't', long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true, help_heading = SAMPLING)]
    pub steps: Option<usize>,

    /// How strongly the prompt steers; at 1 and below the negative prompt is not used
    #[arg(long, value_name = "G", allow_negative_numbers = true, help_heading = SAMPLING)]
    pub guidance: Option<f32>,

    /// Seed of the noise, of which the low 32 bits count; -1 for a random one [default: random]
    #[arg(short, long, value_name = "N", value_parser = parse_seed, allow_hyphen_values = true, help_heading = SAMPLING)]
    pub seed: Option<Seed>,

    /// Solver [default: the checkpoint's]
    #[arg(long, value_enum, help_heading = SAMPLING)]
    pub sampler: Option<SamplerArg>,

    /// Step grid: as diffusers, as Wan's own code, or for step-distilled checkpoints [default: diffusers]
    #[arg(long, value_enum, help_heading = SAMPLING)]
    pub schedule: Option<ScheduleArg>,

    /// Shift of the step grid towards noise [default: the checkpoint's]
    #[arg(long, value_name = "S", allow_negative_numbers = true, help_heading = SAMPLING)]
    pub shift: Option<f64>,

    /// The noise levels themselves, largest first; a final 0 is appended
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', allow_negative_numbers = true,
        conflicts_with_all = ["shift", "schedule"], help_heading = SAMPLING)]
    pub sigmas: Option<Vec<f64>>,

    /// Start from these latents in place of noise from the seed (as --save-latents writes them)
    #[arg(long, value_name = "FILE.safetensors", help_heading = SAMPLING)]
    pub latents: Option<PathBuf>,

    /// A .mp4, .gif, .png (animated) or .y4m file, a folder for PNG frames if it ends in a slash, or - for y4m on standard
    /// output [default: PROMPT-SEED.mp4]
    #[arg(short, long, value_name = "PATH", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,

    /// Make every pixel a square of N by N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = OUTPUT)]
    pub zoom: Option<u16>,

    /// Replace existing outputs
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,

    /// Do not write into the video how it was made
    #[arg(long, help_heading = OUTPUT)]
    pub no_recipe: bool,

    /// Also write what the sampler ends with (one tensor `latents`, [C, T, H, W], F32, normalised)
    #[arg(long, value_name = "FILE.safetensors", help_heading = OUTPUT)]
    pub save_latents: Option<PathBuf>,

    /// Print nothing but errors, and the path of the finished video
    #[arg(short, long, help_heading = OUTPUT)]
    pub quiet: bool,

    /// Print events on standard output, one JSON object a line: start, step, frame, done, error
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,

    /// Where to compute: auto, cpu, vulkan, vulkan:N or part of a GPU's name. auto takes the best GPU, never a software
    /// driver, or else the processor [default: the recipe's, or auto]
    #[arg(long, value_name = "DEVICE", value_parser = parse_device, help_heading = RUN)]
    pub device: Option<DeviceChoice>,

    /// full, F32 throughout, or half, on GPUs alone: operands of matrix products in F16 [default: the recipe's, or half on
    /// a GPU that computes in F16, else full]
    #[arg(long, value_name = "PRECISION", value_parser = parse_precision, help_heading = RUN)]
    pub precision: Option<Precision>,

    /// Memory for tensors, on a GPU for tensors and weights; mapped weights do not count [default: all that the device
    /// has]
    #[arg(long, value_name = "GIB", value_parser = parse_gib, allow_negative_numbers = true, help_heading = RUN)]
    pub memory: Option<u64>,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS as i64), allow_negative_numbers = true, help_heading = RUN)]
    pub threads: Option<u16>,

    /// Encode the prompt anew and do not keep it; otherwise a prompt that was used before does not need the text encoder
    #[arg(long, help_heading = RUN)]
    pub no_text_cache: bool,

    /// Read weights into memory instead of mapping them
    #[arg(long, help_heading = RUN)]
    pub no_mmap: bool,

    /// Convolve by direct sums, about twice as slow: without it the VAE's large convolutions go by Winograd's algorithm,
    /// whose error is within a hundredth of a step of a pixel's value
    #[arg(long, help_heading = RUN)]
    pub exact_conv: bool,

    /// Print what the run would take in work, memory and time, without a PROMPT for the longest that the model reads;
    /// exit status 1 if it does not fit into memory
    #[arg(long, group = "mode", help_heading = MODES)]
    pub plan: bool,

    /// Write the checkpoint that is in this program into a folder
    #[arg(long, value_name = "DIR", group = "mode", exclusive = true, help_heading = MODES)]
    pub export_bundled: Option<PathBuf>,

    /// Print the devices of this machine, and why one cannot be used
    #[arg(long, group = "mode", exclusive = true, help_heading = MODES)]
    pub list_devices: bool,

    /// Check every operation of --device, or those with OP in their names, against a reference in double precision; exit
    /// status 1 if one is wrong
    #[arg(long, value_name = "OP", num_args = 0..=1, require_equals = true, default_missing_value = "", group = "mode", help_heading = MODES)]
    pub self_test: Option<String>,

    /// Print the recipe inside a video
    #[arg(long, value_name = "FILE", group = "mode", exclusive = true, help_heading = MODES)]
    pub show_recipe: Option<PathBuf>,

    /// Print the completions of a shell
    #[arg(long, value_name = "SHELL", group = "mode", exclusive = true, help_heading = MODES)]
    pub completions: Option<Shell>,

    /// Print the manual page
    #[arg(long, group = "mode", exclusive = true, help_heading = MODES)]
    pub man: bool,

    /// Print this help; -h is shorter
    #[arg(short, long, action = ArgAction::Help, help_heading = MODES)]
    help: Option<bool>,

    /// Print the version, and the instruction set that the kernels use here
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = MODES)]
    version: Option<bool>,
}

impl Args {
    /// The prompt if there is one, which `-` takes from standard input.
    pub fn prompt(&self) -> Result<Option<String>> {
        match self.prompt.as_deref().or(self.prompt_flag.as_deref()) {
            Some("-") => read_prompt().map(Some),
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// What the job is opened with; reads a prompt from standard input if asked to.
    pub fn job(&self, cancel: Cancel) -> Result<JobOptions> {
        let settings = Overrides {
            prompt: self.prompt()?,
            negative_prompt: self.negative_prompt.clone(),
            size: self.size,
            frames: self.frames,
            seconds: self.seconds,
            fps: self.fps,
            steps: self.steps,
            guidance: self.guidance,
            seed: self.seed,
            sampler: self.sampler.map(Into::into),
            schedule: self.schedule.map(Into::into),
            shift: self.shift,
            sigmas: self.sigmas.clone(),
            zoom: self.zoom,
        };
        Ok(JobOptions {
            model: self.model.clone(),
            mapping: if self.no_mmap { Mapping::Read } else { Mapping::Map },
            recipe: self.recipe.as_deref().map(Recipe::read).transpose()?,
            settings,
            latents: self.latents.clone(),
            device: self.device.clone(),
            device_settings: self.device_settings(cancel),
            text_cache: TextCache::of_user().filter(|_| !self.no_text_cache),
        })
    }

    /// How a device is opened.
    pub fn device_settings(&self, cancel: Cancel) -> DeviceSettings {
        let &Self { memory, exact_conv, precision, .. } = self;
        DeviceSettings { cancel, memory, level: None, exact_conv, precision }
    }

    /// Where the video goes.
    pub fn target(&self) -> Result<Target> {
        if self.json && !self.plan && self.output.as_deref().is_some_and(is_stream) {
            let why = "standard output cannot carry the video and the events of --json; name a file".into();
            return Err(Error::Request { what: "output", why });
        }
        Ok(Target {
            output: self.output.clone(),
            force: self.force,
            without_recipe: self.no_recipe,
            save_latents: self.save_latents.clone(),
            stdout: Some(Box::new(std::io::stdout())),
        })
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

/// The whole of standard input as a prompt.
fn read_prompt() -> Result<String> {
    const STDIN: &str = "standard input";
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(MAX_PROMPT_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { doing: "read", path: STDIN.into(), source })?;
    let refuse = |why| Error::Request { what: "prompt", why };
    if bytes.len() as u64 > MAX_PROMPT_BYTES {
        let most = MAX_PROMPT_BYTES >> 20;
        return Err(refuse(format!(
            "{STDIN} holds more than {most} MiB, no prompt; the model reads 512 tokens at most"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refuse(format!("{STDIN} is not UTF-8 text (at byte {at}); convert it, for instance with iconv -t UTF-8"))
    })
}

/// Width and height with any common sign between them: 832x480, 832*480, 832 × 480.
fn parse_size(text: &str) -> std::result::Result<(usize, usize), String> {
    // `usize` would read a plus sign too.
    let pixels = |side: &str| side.trim().parse().ok().filter(|_| !side.contains('+'));
    let parsed = text.split_once(['x', 'X', '×', '*']).and_then(|(w, h)| Some((pixels(w)?, pixels(h)?)));
    parsed.ok_or_else(|| "a size is WIDTHxHEIGHT in pixels, such as 832x480".into())
}

fn parse_fps(text: &str) -> std::result::Result<FrameRate, String> {
    let fps: FrameRate = text.parse().map_err(|error: Error| error.to_string())?;
    if fps.exceeds(MAX_FPS) || fps.as_f64() < 1.0 {
        return Err(format!("{fps} is not within 1 and {MAX_FPS} frames per second"));
    }
    Ok(fps)
}

fn parse_seed(text: &str) -> std::result::Result<Seed, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

fn parse_device(text: &str) -> std::result::Result<DeviceChoice, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

fn parse_precision(text: &str) -> std::result::Result<Precision, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

/// Bytes of a number of GiB.
fn parse_gib(text: &str) -> std::result::Result<u64, String> {
    const GIB: f64 = (1_u64 << 30) as f64;
    let gib = text.parse::<f64>().ok().filter(|&gib| gib > 0.0 && gib <= u32::MAX.into());
    gib.map(|gib| (gib * GIB) as u64).ok_or_else(|| "a number of GiB above 0 is expected, such as 6 or 0.5".into())
}

fn parse_count(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "a whole number is expected".into())
}
