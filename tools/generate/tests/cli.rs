//! The binary as a user runs it, on a tiny checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::SafeTensors;

/// A folder of its own for one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("zoetrope-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a scratch folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a unicode path").to_owned()
    }

    /// What is left in the folder, sorted, hidden files included.
    fn list(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a listing");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("unicode")).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_generate")).args(arguments).output().expect("the binary runs")
}

/// The flags of a run that takes a fraction of a second, then `more`.
fn tiny(more: &[&str]) -> Output {
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    generate(&[&["-m", model, "--size", "80x48", "--frames", "5", "-t", "3", "-s", "7"][..], more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("unicode")
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Exit status and message of a failure that says all of `fragments`.
#[track_caller]
fn fails(output: &Output, code: i32, fragments: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "stdout is for results");
    for fragment in fragments {
        assert!(message.contains(fragment), "{fragment:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn png_frames_are_those_of_diffusers() {
    let bytes = fs::read(fixtures().join("golden/b.safetensors")).expect("golden");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
    let runs = &header.metadata().as_ref().expect("notes")["runs"];
    let runs: serde_json::Value = serde_json::from_str(runs).expect("runs");
    let [prompt, negative] = ["prompt", "negative"].map(|key| runs["unipc4"][key].as_str().expect("a prompt"));
    let golden = SafeTensors::deserialize(&bytes).expect("golden").tensor("frames.unipc4").expect("frames");
    let scratch = Scratch::new();
    let folder = scratch.path("frames/");
    let model = fixtures().join("checkpoints/b");
    let output = generate(&[
        "-m",
        model.to_str().expect("unicode"),
        "-p",
        prompt,
        "-n",
        negative,
        "--size",
        "80x48",
        "--frames",
        "5",
        "-t",
        "4",
        "-s",
        "42",
        "-o",
        &folder,
    ]);
    succeeds(&output);
    assert_eq!(text(&output.stdout), format!("{folder}\n"));
    let names: Vec<String> = (1..=5).map(|i| format!("frame_{i:05}.png")).collect();
    let mut found: Vec<String> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("unicode"))
        .collect();
    found.sort();
    assert_eq!(found, names);
    let mut rgb = Vec::new();
    for name in names {
        let file = std::io::BufReader::new(fs::File::open(Path::new(&folder).join(name)).expect("a frame"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        assert_eq!(reader.info().size(), (80, 48));
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("pixels");
        rgb.extend(pixels);
    }
    let near = rgb.iter().zip(golden.data()).filter(|(got, want)| got.abs_diff(**want) <= 1).count();
    assert_eq!(rgb.len(), golden.data().len());
    assert!(near as f64 >= 0.999 * rgb.len() as f64, "{near} of {}", rgb.len());
}

#[test]
fn latents_are_saved_and_taken_up() {
    let scratch = Scratch::new();
    let (video, latents) = (scratch.path("a.y4m"), scratch.path("latents.safetensors"));
    succeeds(&tiny(&["a prompt", "-o", &video, "--save-latents", &latents]));
    let bytes = fs::read(&latents).expect("latents");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert_eq!(file.names(), ["latents"]);
    assert_eq!(file.tensor("latents").expect("latents").shape(), [16, 2, 6, 10]);
    let y4m = fs::read(&video).expect("a video");
    assert!(y4m.starts_with(b"YUV4MPEG2 W80 H48 F16:1"), "{:?}", text(&y4m[..40]));

    let again = scratch.path("b.y4m");
    succeeds(&tiny(&["a prompt", "-o", &again, "--latents", &latents]));
    assert!(fs::read(&again).expect("a video") != y4m, "other noise, another video");
    assert_eq!(scratch.list(), ["a.y4m", "b.y4m", "latents.safetensors"]);
    let misfit = tiny(&["a prompt", "-o", &scratch.path("c.y4m"), "--latents", &latents, "--frames", "9"]);
    fails(&misfit, 2, &["latents", "[16, 2, 6, 10]", "[16, 3, 6, 10]"]);
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_it_is_run() {
    let scratch = Scratch::new();
    let run = |name: &str, more: &[&str]| {
        let path = scratch.path(name);
        succeeds(&tiny(&[&["a prompt", "-q", "-o", &path][..], more].concat()));
        fs::read(path).expect("a video")
    };
    let first = run("1.y4m", &[]);
    assert!(run("2.y4m", &["--threads", "1"]) == first, "2");
    assert!(run("3.y4m", &["--threads", "3", "--no-mmap"]) == first, "3");
    assert!(run("4.y4m", &["-s", "8"]) != first, "4");
    assert!(run("5.y4m", &["--sampler", "euler"]) != first, "5");
    assert!(run("6.y4m", &["--schedule", "native"]) != first, "6");
}

#[test]
fn quiet_means_quiet() {
    let scratch = Scratch::new();
    let output = tiny(&["a prompt", "-q", "-o", &scratch.path("a.y4m")]);
    succeeds(&output);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn what_cannot_be_is_refused_with_the_nearest_that_can() {
    let scratch = Scratch::new();
    let path = scratch.path("a.y4m");
    let with = |more: &[&str]| tiny(&[&["a prompt", "-o", &path][..], more].concat());
    fails(&with(&["--size", "81x48"]), 2, &["width", "81", "80"]);
    fails(&with(&["--size", "big"]), 2, &["WIDTHxHEIGHT"]);
    fails(&with(&["--frames", "6"]), 2, &["frames", "6", "nearest is 5"]);
    fails(&with(&["--guidance", "nan"]), 2, &["guidance"]);
    fails(&with(&["--shift", "-1"]), 2, &["shift", "-1"]);
    fails(&with(&["--sigmas", "0.5,0.8", "-t", "2"]), 2, &["strictly decrease"]);
    fails(&with(&["--sigmas", "0.8,0.5,0.2", "-t", "2"]), 2, &["3", "2", "--steps"]);
    fails(&with(&["--sigmas", "0.8,0.5", "--shift", "3"]), 2, &["--shift"]);
    fails(&with(&["--sampler", "dpm"]), 2, &["unipc", "euler"]);
    fails(&with(&["-p", "another"]), 2, &["PROMPT"]);
    fails(&with(&["--threads", "0"]), 2, &["threads"]);
    fails(&tiny(&["a prompt", "-o", &scratch.path("a.webm")]), 2, &["a.webm", ".y4m"]);
    fails(&tiny(&[]), 2, &["PROMPT"]);
    assert!(scratch.list().is_empty(), "{:?}", scratch.list());
}

#[test]
fn an_existing_output_is_replaced_only_by_force() {
    let scratch = Scratch::new();
    let path = scratch.path("a.y4m");
    fs::write(&path, "mine").expect("a file");
    fails(&tiny(&["a prompt", "-o", &path]), 2, &["a.y4m", "--force"]);
    assert_eq!(fs::read(&path).expect("the file"), b"mine");
    succeeds(&tiny(&["a prompt", "-o", &path, "--force"]));
    assert!(fs::read(&path).expect("the file").starts_with(b"YUV4MPEG2"));
}

#[test]
fn a_wrong_model_is_named_with_the_remedy() {
    let scratch = Scratch::new();
    let video = scratch.path("a.y4m");
    let with = |model: &str| generate(&["-m", model, "a prompt", "-o", &video]);
    fails(&with(&scratch.path("nowhere")), 1, &["nowhere"]);
    let empty = scratch.path("empty");
    fs::create_dir(&empty).expect("a folder");
    fails(&with(&empty), 1, &["empty", "model_index.json"]);
}

#[test]
fn the_version_names_the_instruction_set() {
    let output = generate(&["--version"]);
    succeeds(&output);
    assert!(text(&output.stdout).starts_with("generate 0.1.0 (cpu: "), "{}", text(&output.stdout));
    let forced = |level: &str| {
        let binary = env!("CARGO_BIN_EXE_generate");
        Command::new(binary).arg("--version").env("ZOETROPE_SIMD", level).output().expect("the binary runs")
    };
    assert!(text(&forced("portable").stdout).contains("portable"));
    assert!(text(&forced("mmx").stdout).contains("mmx"));
}
