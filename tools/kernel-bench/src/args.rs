//! The flags.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as Flags, Parser, Subcommand};
use program::devices::DeviceChoice;

use crate::compare;
use crate::show::Format;
use speeds::case::Op;
use speeds::models::Model;
use speeds::results::Storage;
use speeds::suite::Suite;

/// The most threads: with far more, a system spends its time on the threads alone.
const MAX_THREADS: i64 = 1024;

/// How fast the ops of a video model are on this device, and how close to its limit
#[derive(Parser, Debug)]
#[command(
    name = "kernel-bench",
    version,
    after_help = "Examples:
  kernel-bench run --json mine.json
  kernel-bench run --device cpu --ops linear,attention --format markdown
  kernel-bench compare before.json after.json
  kernel-bench estimate --model wan2.1-t2v-1.3b --size 480x272 --frames 33 mine.json
  kernel-bench report mine.json theirs.json -o report.html

Exit status: 0 done, 1 something got slower or a result is wrong, 2 trouble."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print the devices of this machine
    Devices,
    /// Measure only what devices can do at most
    Peak(Hardware),
    /// Measure a suite of shapes
    Run(Run),
    /// Compare later files with the first one
    Compare(Compare),
    /// Tell how long a model would take here
    Estimate(Estimate),
    /// Find the sizes of parts that a GPU's shaders are fastest with, and keep them for the engine
    Tune(Tune),
    /// Make a page of results
    Report(Report),
}

/// Where to measure.
#[derive(Flags, Clone, Debug)]
pub struct Hardware {
    /// cpu, vulkan, vulkan:N or part of a GPU's name; more than once for more [default: the processor and every GPU that
    /// is no software driver]
    #[arg(long = "device", value_name = "DEVICE", value_parser = parsed::<DeviceChoice>)]
    pub devices: Vec<DeviceChoice>,

    /// Threads of the processor [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    pub threads: Option<u16>,
}

/// What to measure.
#[derive(Flags, Debug)]
pub struct Run {
    /// Where to measure.
    #[command(flatten)]
    pub hardware: Hardware,

    /// The shapes: quick, wan-480p or wan-720p
    #[arg(long, default_value = "quick", value_parser = parsed::<Suite>)]
    pub suite: Suite,

    /// Some of the ops alone: linear, attention, conv3d, norm, elementwise
    #[arg(long, value_name = "OP,...", value_delimiter = ',', value_parser = parsed::<Op>)]
    pub ops: Vec<Op>,

    /// How weights are stored: f32, f16, bf16, or several of them
    #[arg(long, value_name = "TYPE,...", default_value = "bf16", value_delimiter = ',', value_parser = parsed::<Storage>)]
    pub precision: Vec<Storage>,

    /// On GPUs, keep operands of matrix products in F16
    #[arg(long)]
    pub half: bool,

    /// Seconds for each row
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub time: f64,

    /// What is printed: table, markdown, csv or json
    #[arg(long, default_value = "table", value_parser = parsed::<Format>)]
    pub format: Format,

    /// Also write everything into a file of JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Files to compare.
#[derive(Flags, Debug)]
pub struct Compare {
    /// The file that others are compared with, and those others
    #[arg(value_name = "FILE", num_args = 2..)]
    pub files: Vec<PathBuf>,

    /// Smaller changes are none
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = threshold)]
    pub threshold: f64,
}

/// A model and a clip.
#[derive(Flags, Debug)]
pub struct Estimate {
    /// wan2.1-t2v-1.3b, wan2.1-t2v-14b, wan2.2-ti2v-5b or bundled
    #[arg(long, value_parser = parsed::<Model>)]
    pub model: Model,

    /// Width and height in pixels [default: the model's]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<(usize, usize)>,

    /// Frames [default: the model's]
    #[arg(long, value_name = "N")]
    pub frames: Option<usize>,

    /// Sampling steps [default: the model's]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,

    /// Tokens of the prompt, and of the negative prompt, which 0 leaves out with all of guidance [default: a usual
    /// prompt's and Wan's own]
    #[arg(long, value_name = "N[,N]", value_parser = tokens)]
    pub text_tokens: Option<[usize; 2]>,

    /// Results of `run` [default: what it measured last, or else the quick suite is measured now]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Which devices, without a file.
    #[command(flatten)]
    pub hardware: Hardware,
}

/// What to try.
#[derive(Flags, Debug)]
pub struct Tune {
    /// vulkan, vulkan:N or part of a GPU's name; more than once for more [default: every GPU that is no software driver]
    #[arg(long = "device", value_name = "DEVICE", value_parser = parsed::<DeviceChoice>)]
    pub devices: Vec<DeviceChoice>,

    /// Seconds for each kind of shape
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub time: f64,
}

/// Files to show.
#[derive(Flags, Debug)]
pub struct Report {
    /// Results of `run`
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The page
    #[arg(short, long, value_name = "PAGE.html")]
    pub output: PathBuf,
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn threshold(text: &str) -> Result<f64, String> {
    compare::threshold(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.trim_end_matches(" s").trim_end_matches('s').parse::<f64>().ok();
    let expected = || "seconds between 0.05 and 3600 are expected".to_owned();
    seconds.filter(|seconds| (0.05..=3600.0).contains(seconds)).ok_or_else(expected)
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once(['x', 'X', '×']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed
        .filter(|&(w, h): &(usize, usize)| w <= MAX_SIDE && h <= MAX_SIDE)
        .ok_or_else(|| format!("a size is WIDTHxHEIGHT in pixels up to {MAX_SIDE}, such as 832x480"))
}

/// Larger pictures are mistakes; the bound keeps all arithmetic on sizes far from overflow.
const MAX_SIDE: usize = 16_384;

fn tokens(text: &str) -> Result<[usize; 2], String> {
    let number = |text: &str| text.trim().parse().map_err(|_| "one or two whole numbers are expected".to_owned());
    match text.split_once(',') {
        Some((prompt, negative)) => Ok([number(prompt)?, number(negative)?]),
        None => Ok([number(text)?, 0]),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn values_are_read_or_refused() {
        assert_eq!((seconds("2s"), seconds("0.5 s")), (Ok(2.0), Ok(0.5)));
        assert!(seconds("0").is_err() && seconds("fast").is_err() && seconds("nan").is_err());
        assert_eq!((threshold("5%"), threshold("0.1")), (Ok(0.05), Ok(0.1)));
        assert!(threshold("-5%").is_err() && threshold("x").is_err());
        assert_eq!((tokens("64"), tokens("64,126")), (Ok([64, 0]), Ok([64, 126])));
        assert_eq!(size("832x480"), Ok((832, 480)));
        assert!(size("99999x1").is_err());
    }
}
