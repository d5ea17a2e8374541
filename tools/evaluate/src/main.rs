//! `evaluate`: makes clips of held-out prompts with a checkpoint of moving shapes and tells what their frames show.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use zoetrope::video::Frame;
use zoetrope::weights::Mapping;
use zoetrope::{Device, Error, Pipeline, Request, Result};
use zoetrope_evaluate::score::NAMES;
use zoetrope_evaluate::{Attributes, Tally, see};

/// Frames of a clip on the contact sheet, and clips beside each other.
const SHOWN: usize = 4;
const COLUMNS: usize = 4;

/// Makes clips of prompts that training never saw and tells what their frames show
#[derive(Parser)]
struct Args {
    /// Checkpoint folder
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

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

    /// Also write a contact sheet of the first clips
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evaluate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let pipeline = Pipeline::open(&args.model, Mapping::Map)?;
    let device = Device::cpu()?;
    let mut tally = Tally::default();
    let mut shown = Vec::new();
    for (index, asked) in Attributes::sample(args.clips as usize, args.sample).into_iter().enumerate() {
        let prompt = asked.prompt(index);
        let base = pipeline.request(prompt.as_str());
        let request = Request {
            seed: index as u64,
            guidance: args.guidance.unwrap_or(base.guidance),
            steps: args.steps.map_or(base.steps.clone(), |steps| with_steps(&base, steps)),
            ..base
        };
        let mut frames: Vec<Frame> = Vec::new();
        pipeline.generate(&device, &request, &mut frames, &mut |_| {})?;
        let seen = see(&frames);
        println!("{prompt}: {}", verdict(&asked, &seen));
        tally.add(asked, seen);
        if args.sheet.is_some() && shown.len() < 10 * COLUMNS {
            shown.push(frames);
        }
    }
    let (shares, all) = tally.right();
    println!("\n{}", tally.tables());
    for ((name, share), chance) in NAMES.iter().zip(shares).zip(tally.chance()) {
        println!("{name}: {:.1} % (guessing: {:.1} %)", share * 100.0, chance * 100.0);
    }
    println!("all four: {:.1} % of {} clips", all * 100.0, tally.clips());
    match &args.sheet {
        Some(path) => {
            write_sheet(path, &shown).map_err(|source| Error::Io { doing: "write", path: path.clone(), source })
        }
        None => Ok(()),
    }
}

fn with_steps(request: &Request, steps: usize) -> zoetrope::Steps {
    match request.steps.clone() {
        zoetrope::Steps::Schedule { schedule, shift, .. } => zoetrope::Steps::Schedule { schedule, steps, shift },
        sigmas => sigmas,
    }
}

fn verdict(asked: &Attributes, seen: &zoetrope_evaluate::Seen) -> String {
    let wrong: Vec<&str> = zoetrope_evaluate::score::right(asked, seen)
        .into_iter()
        .zip(NAMES)
        .filter_map(|(right, name)| (!right).then_some(name))
        .collect();
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
