//! `evaluate`: makes clips of held-out prompts with a checkpoint of moving shapes and tells what their frames show.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use program::devices::{DeviceChoice, DeviceSettings};
use program::{errors, streams};
use zoetrope::video::Frame;
use zoetrope::{Error, Precision, Result};
use zoetrope_evaluate::score::{NAMES, PAIR_NAMES, bound, right};
use zoetrope_evaluate::{Attributes, Maker, Pair, Seen, Tally, see, see_all};

/// Frames of a clip on the contact sheet, and clips beside each other.
const SHOWN: usize = 4;
const COLUMNS: usize = 4;

/// Makes clips of prompts that training never saw and tells what their frames show
///
/// Standard output gets the report, as Markdown; each clip's verdict goes to standard error.
#[derive(Parser)]
struct Args {
    /// Checkpoint folder [default: the checkpoint bundled with generate]
    #[arg(short, long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// How many clips, each of a prompt of its own
    #[arg(short = 'c', long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    clips: u32,

    /// Which prompts; clip I has the seed I
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    sample: u64,

    /// Guidance [default: the checkpoint's]
    #[arg(long, value_name = "G")]
    guidance: Option<f32>,

    /// Sampling steps [default: the checkpoint's]
    #[arg(short = 't', long, value_name = "N")]
    steps: Option<usize>,

    /// Where to make the clips: cpu, vulkan, vulkan:N or part of a GPU's name
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: DeviceChoice,

    /// How exact a GPU is: full or half
    #[arg(long, value_name = "PRECISION", default_value = "full")]
    precision: Precision,

    /// Decode frames on the processor, at full precision: software drivers take minutes for a clip
    #[arg(long)]
    decode_on_cpu: bool,

    /// Only the held-out prompts: no clips without guidance, no pairs
    #[arg(long)]
    brief: bool,

    /// Also write a contact sheet of the first clips
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evaluate: {error}");
            errors::exit_code(&error).into()
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let mut maker = Maker::open(args.model.as_deref())?;
    (maker.guidance, maker.steps) = (args.guidance, args.steps);
    let settings = DeviceSettings { precision: Some(args.precision), ..DeviceSettings::default() };
    maker.device = args.device.open(&mut |gpu| settings.options(gpu))?.device;
    if !args.decode_on_cpu {
        maker.decoder = maker.device.clone();
    }
    let mut shown = Vec::new();
    let tally = singles(args, &maker, &mut shown)?;
    let rule = "---|".repeat(NAMES.len() + 1);
    print(&format!("| single objects | clips | {} | all four |\n|---|---|{rule}\n", NAMES.join(" | ")))?;
    row(&format!("guidance {}", maker.guidance()), &tally)?;
    let guessing = tally.chance().map(|share| format!("{:.1} %", share * 100.0));
    row("judged by other clips' prompts", &tally.shifted(tally.clips() / 2))?;
    print(&format!("| guessing | | {} | |\n", guessing.join(" | ")))?;
    if !args.brief {
        let guidance = maker.guidance.replace(1.0);
        row("guidance 1", &singles(args, &maker, &mut Vec::new())?)?;
        maker.guidance = guidance;
        pairs(args, &maker)?;
    }
    print(&format!("\n{}\n", tally.tables()))?;
    match &args.sheet {
        Some(path) => {
            write_sheet(path, &shown).map_err(|source| Error::Io { doing: "write", path: path.clone(), source })
        }
        None => Ok(()),
    }
}

/// Makes and judges clips of one object; the first ones are kept in `shown`.
fn singles(args: &Args, maker: &Maker, shown: &mut Vec<Vec<Frame>>) -> Result<Tally> {
    let mut tally = Tally::default();
    for (index, asked) in Attributes::sample(args.clips as usize, args.sample).into_iter().enumerate() {
        let prompt = asked.prompt(index);
        let frames = maker.clip(&prompt, index as u64)?;
        let seen = see(&frames);
        eprintln!("{prompt}: {}", verdict(&asked, &seen));
        tally.add(asked, seen);
        if shown.len() < 10 * COLUMNS {
            shown.push(frames);
        }
    }
    Ok(tally)
}

/// Makes and judges half as many clips of two objects.
fn pairs(args: &Args, maker: &Maker) -> Result<()> {
    let asked = Pair::sample(args.clips.div_ceil(2) as usize, args.sample);
    let mut right = [0_usize; PAIR_NAMES.len()];
    for (index, pair) in asked.iter().enumerate() {
        let seen = see_all(&maker.clip(&pair.prompt(), index as u64)?);
        let bound = bound(pair, &seen);
        eprintln!("{}: {}", pair.prompt(), if bound == [true; 3] { "right".into() } else { format!("seen: {seen:?}") });
        right.iter_mut().zip(bound).for_each(|(count, bound)| *count += usize::from(bound));
    }
    let rule = "---|".repeat(PAIR_NAMES.len());
    print(&format!("\n| two objects | clips | {} |\n|---|---|{rule}\n", PAIR_NAMES.join(" | ")))?;
    let shares = right.map(|count| format!("{:.1} %", count as f64 / asked.len() as f64 * 100.0));
    print(&format!("| guidance {} | {} | {} |\n", maker.guidance(), asked.len(), shares.join(" | ")))
}

/// Writes a part of the report to standard output.
fn print(text: &str) -> Result<()> {
    streams::write(&mut std::io::stdout().lock(), text.as_bytes())
}

fn row(name: &str, tally: &Tally) -> Result<()> {
    let (shares, all) = tally.right();
    let cells = shares.map(|share| format!("{:.1} %", share * 100.0));
    print(&format!("| {name} | {} | {} | {:.1} % |\n", tally.clips(), cells.join(" | "), all * 100.0))
}

fn verdict(asked: &Attributes, seen: &Seen) -> String {
    let wrong: Vec<&str> =
        right(asked, seen).into_iter().zip(NAMES).filter_map(|(right, name)| (!right).then_some(name)).collect();
    if wrong.is_empty() {
        return "right".into();
    }
    let object = seen.object.map_or("no object".into(), |object| {
        format!("{} {} {}", object.colour.word(), object.shape.word(), object.motion.word())
    });
    format!("wrong {}; seen: {object} on {}", wrong.join(", "), seen.ground.word())
}

/// A few frames of each clip beside each other, clips in columns and rows.
fn write_sheet(path: &Path, clips: &[Vec<Frame>]) -> std::io::Result<()> {
    let Some(first) = clips.first().and_then(|clip| clip.first()) else { return Ok(()) };
    let (width, height) = (first.width(), first.height());
    let (columns, rows) = (COLUMNS * SHOWN, clips.len().div_ceil(COLUMNS));
    let mut sheet = vec![0; columns * width * rows * height * 3];
    for (index, clip) in clips.iter().enumerate() {
        for part in 0..SHOWN {
            let frame = &clip[part * (clip.len() - 1) / (SHOWN - 1)];
            let (left, top) = ((index % COLUMNS * SHOWN + part) * width, index / COLUMNS * height);
            for (y, row) in frame.rgb().chunks_exact(width * 3).enumerate() {
                let start = ((top + y) * columns * width + left) * 3;
                sheet[start..start + row.len()].copy_from_slice(row);
            }
        }
    }
    let mut file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(&mut file, (columns * width) as u32, (rows * height) as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&sheet)?;
    writer.finish()?;
    file.flush()
}
