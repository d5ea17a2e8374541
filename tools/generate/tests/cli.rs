//! The binary as a user runs it, on a tiny checkpoint.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use safetensors::SafeTensors;

use crate::common::{Scratch, command, copy, fails, fixtures, generate, succeeds, text, tiny};

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
fn the_ending_decides_the_format() {
    let scratch = Scratch::new();
    let mut formats: Vec<(&str, usize, &[u8])> =
        vec![("a.gif", 0, b"GIF89a"), ("a.png", 1, b"PNG"), ("a.y4m", 0, b"YUV4MPEG2 W320 H192 F24:1")];
    if cfg!(feature = "mp4") {
        formats.push(("a.mp4", 4, b"ftyp"));
    }
    for (name, at, magic) in formats {
        let path = scratch.path(name);
        let output = tiny(&["a prompt", "-o", &path, "--zoom", "4", "--fps", "24"]);
        succeeds(&output);
        assert_eq!(text(&output.stdout), format!("{path}\n"));
        assert!(fs::read(path).expect("a video")[at..].starts_with(magic), "{name}");
    }
    let piped = tiny(&["a prompt", "-o", "-"]);
    succeeds(&piped);
    assert!(piped.stdout.starts_with(b"YUV4MPEG2 W80 H48 F16:1"), "the video and nothing else");
    assert_eq!(piped.stdout.windows(6).filter(|bytes| bytes == b"FRAME\n").count(), 5);
    fails(&tiny(&["a prompt", "-o", &scratch.path("b.gif"), "--fps", "60"]), 2, &["fps", "50"]);
}

#[test]
fn seconds_become_frames_of_the_model() {
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    let with = |seconds: &str| {
        let path = scratch.path(&format!("{seconds}.y4m"));
        generate(&["-m", model, "--size", "80x48", "-t", "1", "-o", &path, "a", "--seconds", seconds, "--fps", "8"])
    };
    for (seconds, frames) in [("1", 9), ("0.01", 1), ("0.5", 5), ("1.6", 13)] {
        let output = with(seconds);
        succeeds(&output);
        let said = format!("{frames} frames, {:.2} s", f64::from(frames) / 8.0);
        assert!(text(&output.stderr).contains(&said), "{}", text(&output.stderr));
    }
    fails(&with("0"), 2, &["seconds", "above 0"]);
    fails(&with("nan"), 2, &["seconds"]);
    fails(&tiny(&["a", "--seconds", "1"]), 2, &["--seconds", "--frames"]);
}

#[test]
fn a_prompt_comes_from_standard_input() {
    use std::io::Write;
    let scratch = Scratch::new();
    let (given, piped) = (scratch.path("given.y4m"), scratch.path("piped.y4m"));
    succeeds(&tiny(&["two boats", "-o", &given]));
    let model = fixtures().join("checkpoints/b");
    let mut command = command();
    command.arg("-m").arg(model).args(["--size", "80x48", "--frames", "5", "-t", "3", "-s", "7", "-", "-o", &piped]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(b"two boats\n").expect("a prompt");
    assert!(child.wait().expect("an end").success());
    assert!(fs::read(given).expect("a video") == fs::read(piped).expect("a video"));
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
    fails(&with(&["--sigmas", "0.8,0.5,0.2", "-t", "2"]), 2, &["sigmas", "3 steps, not 2", "leave"]);
    fails(&with(&["--sigmas", "nan", "-t", "2"]), 2, &["sigmas", "NaN"]);
    fails(&with(&["--sigmas", "0.9999999,0.9999998", "-t", "2"]), 2, &["too close", "euler"]);
    fails(&with(&["--size", "-1x5"]), 2, &["-1x5", "WIDTHxHEIGHT"]);
    fails(&with(&["--size", "18446744073709551615x48"]), 2, &["width", "at most 16384"]);
    fails(&with(&["--frames", "18446744073709551615"]), 2, &["frames", "at most 4093"]);
    fails(&with(&["--frames", "-1"]), 2, &["--frames", "whole number"]);
    fails(&with(&["--steps", "1000000000"]), 2, &["steps", "1 to 1000"]);
    fails(&with(&["--threads", "65535"]), 2, &["--threads", "1024"]);
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
fn what_a_run_would_stumble_over_late_is_found_before_it_starts() {
    let scratch = Scratch::new();
    let (video, latents) = (scratch.path("a.y4m"), scratch.path("l.safetensors"));
    let (lost, nowhere) = (scratch.path("no/a.y4m"), scratch.path("no/l.safetensors"));
    // Nothing has started: the seed, which is the first line of a run, is not printed.
    let early = |output: &Output, code, fragments: &[&str]| {
        fails(output, code, fragments);
        assert!(!text(&output.stderr).contains("seed"), "{}", text(&output.stderr));
    };
    early(&tiny(&["a", "-o", &lost]), 1, &["a.y4m", "does not exist, make it first"]);
    early(&tiny(&["a", "-o", &video, "--save-latents", &nowhere]), 1, &["l.safetensors", "make it first"]);
    early(&tiny(&["a", "-o", &video, "--save-latents", &video, "--force"]), 2, &["save-latents", "is the output too"]);
    early(&tiny(&["a", "-o", scratch.0.to_str().expect("unicode")]), 2, &["is a folder", "PNG frames"]);
    fs::write(&latents, "mine").expect("a file");
    early(&tiny(&["a", "-o", &video, "--save-latents", &latents]), 2, &["l.safetensors", "--force"]);
    early(&tiny(&["a", "-o", &video, "--latents", &latents]), 1, &["l.safetensors", "is not a safetensors file"]);
    assert_eq!(fs::read(&latents).expect("the file"), b"mine");
    assert_eq!(scratch.list(), ["l.safetensors"]);
}

#[test]
fn a_damaged_checkpoint_is_found_before_the_run_starts() {
    let scratch = Scratch::new();
    let (model, video) = (scratch.path("model"), scratch.path("a.y4m"));
    copy(&fixtures().join("checkpoints/b"), Path::new(&model));
    let run = || generate(&["-m", &model, "--size", "80x48", "--frames", "5", "-t", "1", "a", "-o", &video]);
    let weights = Path::new(&model).join("vae/diffusion_pytorch_model.safetensors");
    let whole = fs::read(&weights).expect("weights");
    fs::write(&weights, &whole[..whole.len() - 100]).expect("a file");
    let output = run();
    fails(&output, 1, &["vae", "tensor", "fetch it again"]);
    assert!(!text(&output.stderr).contains("loading"), "{}", text(&output.stderr));
    fs::remove_file(&weights).expect("the file");
    fails(&run(), 1, &["vae", "holds no diffusion_pytorch_model.safetensors"]);
    fs::remove_dir_all(Path::new(&model).join("scheduler")).expect("the folder");
    fails(&run(), 1, &["scheduler_config.json", "is missing", "fetch it again"]);
    assert_eq!(scratch.list(), ["model"]);
}

#[test]
fn values_that_are_not_finite_are_traced_to_their_source() {
    let scratch = Scratch::new();
    let (model, video) = (scratch.path("model"), scratch.path("a.y4m"));
    copy(&fixtures().join("checkpoints/b"), Path::new(&model));
    let latents = scratch.path("latents.safetensors");
    let run = |more: &[&str]| {
        let flags = ["-m", &model, "--size", "80x48", "--frames", "5", "-t", "1", "a", "-o", &video];
        generate(&[&flags[..], more].concat())
    };
    let poison = |path: &Path, tensor: &str| {
        let mut bytes = fs::read(path).expect("a file");
        let at = {
            let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
            file.tensor(tensor).expect("the tensor").data().as_ptr() as usize - bytes.as_ptr() as usize
        };
        // NaN in F32, and in BF16 and F16 twice.
        bytes[at..at + 4].copy_from_slice(&[0xff; 4]);
        fs::write(path, bytes).expect("a file");
    };
    succeeds(&run(&["--save-latents", &latents]));
    poison(Path::new(&latents), "latents");
    fails(&run(&["--force", "--latents", &latents]), 1, &["latents.safetensors", "NaN"]);
    fs::remove_file(&video).expect("the video");
    let weights = |component: &str| Path::new(&model).join(component).join("diffusion_pytorch_model.safetensors");
    poison(&weights("vae"), "decoder.conv_in.bias");
    fails(&run(&[]), 1, &["VAE decoder", "not finite"]);
    poison(&weights("transformer"), "proj_out.bias");
    fails(&run(&[]), 1, &["transformer", "not finite", "step 1"]);
    assert_eq!(scratch.list(), ["latents.safetensors", "model"]);
}

#[test]
fn a_long_prompt_is_cut_in_one_calm_line() {
    let scratch = Scratch::new();
    let prompt = "\u{1b}[31msnow cat ".repeat(2000);
    let output = tiny(&[&prompt, "-o", &scratch.path("a.y4m"), "-t", "1"]);
    succeeds(&output);
    let message = text(&output.stderr);
    assert!(message.contains("the prompt is too long"), "{message}");
    assert!(!message.contains('\u{1b}') && message.lines().all(|line| line.len() < 200), "{message}");
}

#[test]
fn the_checkpoints_own_defaults_and_words_count() {
    let scratch = Scratch::new();
    let (model, video) = (scratch.path("model"), scratch.path("a.y4m"));
    copy(&fixtures().join("checkpoints/b"), Path::new(&model));
    let defaults =
        r#"{ "size": "48x32", "frames": 9, "fps": 8, "steps": 2, "zoom": 3, "known_words": ["a", "red", "boat"] }"#;
    fs::write(Path::new(&model).join("zoetrope.json"), defaults).expect("a file");
    let output = generate(&["-m", &model, "A red dragon, a RED boat by a lake", "-o", &video]);
    succeeds(&output);
    assert!(fs::read(&video).expect("a video").starts_with(b"YUV4MPEG2 W144 H96 F8:1"));
    let said = text(&output.stderr);
    assert!(said.contains("never seen these words: dragon, by, lake;") && said.contains("--model"), "{said}");
    assert!(said.contains("frame 9/9") && said.contains("step 2/2"), "{said}");
    let output = generate(&["-m", &model, "a red boat", "-o", &video, "--force", "--zoom", "1", "--frames", "1"]);
    succeeds(&output);
    assert!(!text(&output.stderr).contains("never seen"), "{}", text(&output.stderr));
    assert!(fs::read(&video).expect("a video").starts_with(b"YUV4MPEG2 W48 H32 F8:1"));
    fs::write(Path::new(&model).join("zoetrope.json"), r#"{ "frames": 6 }"#).expect("a file");
    fails(&generate(&["-m", &model, "a", "-o", &video]), 1, &["zoetrope.json", "frames", "nearest is 5"]);
}

#[cfg(target_os = "linux")]
#[test]
fn streams_that_cannot_be_written_to_cost_no_video() {
    let scratch = Scratch::new();
    let run = |name: &str, prepare: &dyn Fn(&mut Command)| {
        let model = fixtures().join("checkpoints/b");
        let mut command = command();
        command.arg("-m").arg(model).args(["--size", "80x48", "--frames", "1", "-t", "1", "a", "-o"]);
        command.arg(scratch.path(name));
        prepare(&mut command);
        let output = command.output().expect("the binary runs");
        assert!(fs::read(scratch.path(name)).expect("a video").starts_with(b"YUV4MPEG2"));
        (output.status.code(), text(&output.stderr))
    };
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        writer
    };
    assert_eq!(run("1.y4m", &|command| _ = command.stderr(full())).0, Some(0));
    assert_eq!(run("2.y4m", &|command| _ = command.stderr(closed())).0, Some(0));
    let (code, message) = run("3.y4m", &|command| _ = command.stdout(closed()));
    assert!(code == Some(0) && !message.contains("panicked"), "{message}");
    let (code, message) = run("4.y4m", &|command| _ = command.stdout(full()));
    assert!(code == Some(1) && message.contains("4.y4m is complete"), "{message}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_and_leaves_nothing() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    for (signal, output) in [("INT", "a.y4m"), ("TERM", "frames/")] {
        let mut child = command()
            .arg("-m")
            .arg(&model)
            .args(["--size", "1024x1024", "--frames", "5", "a", "-o"])
            .arg(scratch.path(output))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        assert!(lines.any(|line| line.expect("a line").contains("transformer")), "the run starts");
        assert_eq!(scratch.list().len(), 1, "{:?}", scratch.list());
        let sent = Instant::now();
        let kill = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
        let status = child.wait().expect("an end");
        assert!(sent.elapsed() < Duration::from_secs(3), "{:?}", sent.elapsed());
        assert_eq!(status.code(), Some(130), "{signal}");
        assert_eq!(lines.last().expect("a message").expect("a line"), "generate: interrupted");
        assert!(scratch.list().is_empty(), "{:?}", scratch.list());
    }
}

/// Ended at any moment and by any signal, a run leaves the whole video under the final name or nothing, and what it leaves
/// under hidden names goes with the next run. `ZOETROPE_KILLS` asks for more than a few.
#[cfg(unix)]
#[test]
fn no_end_leaves_half_a_file() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let kills: u64 = std::env::var("ZOETROPE_KILLS").map_or(15, |count| count.parse().expect("a number"));
    let scratch = Scratch::new();
    for ending in ["y4m", "gif"] {
        let (reference, path) = (scratch.path(&format!("whole.{ending}")), scratch.path(&format!("a.{ending}")));
        let started = Instant::now();
        succeeds(&tiny(&["a prompt", "-o", &reference]));
        let run = started.elapsed();
        let whole = fs::read(&reference).expect("a video");
        fs::remove_file(reference).expect("the video");
        for kill in 0..kills {
            let model = fixtures().join("checkpoints/b");
            let mut command = command();
            command.arg("-m").arg(model).args(["--size", "80x48", "--frames", "5", "-t", "3", "-s", "7", "a prompt"]);
            let mut child = (command.args(["--force", "-o", &path]).stdout(Stdio::null()).stderr(Stdio::null()))
                .spawn()
                .expect("the binary runs");
            // Moments spread over the whole run, its end included, without a pattern.
            std::thread::sleep(Duration::from_secs_f64(run.as_secs_f64() * (kill * 7 % 17) as f64 / 15.0));
            let signal = ["-KILL", "-TERM", "-INT"][kill as usize % 3];
            let sent = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
            sent.expect("kill runs");
            child.wait().expect("an end");
            if let Ok(bytes) = fs::read(&path) {
                assert!(bytes == whole, "{signal}, {ending}: {} of {} bytes", bytes.len(), whole.len());
            }
        }
        succeeds(&tiny(&["a prompt", "--force", "-o", &path]));
        assert_eq!(scratch.list(), [format!("a.{ending}")], "the next run has cleaned up");
        fs::remove_file(path).expect("the video");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_even_what_waits_for_another_program() {
    let scratch = Scratch::new();
    let (model, pipe) = (fixtures().join("checkpoints/b"), scratch.path("a.y4m"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut command = command();
    command.arg("-m").arg(model).args(["--size", "80x48", "--frames", "1", "a", "-o", &pipe]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("the binary runs");
    // Nobody reads the pipe, so that the run waits for ever; when it has got there cannot be seen from outside.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(child.try_wait().expect("a status").is_none());
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("an end");
    fails(&output, 130, &["generate: interrupted"]);
}

#[test]
fn the_version_names_the_instruction_set() {
    let output = generate(&["--version"]);
    succeeds(&output);
    assert!(text(&output.stdout).starts_with("generate 0.1.0 (cpu: "), "{}", text(&output.stdout));
    let forced =
        |level: &str| command().arg("--version").env("ZOETROPE_SIMD", level).output().expect("the binary runs");
    assert!(text(&forced("portable").stdout).contains("portable"));
    assert!(text(&forced("mmx").stdout).contains("mmx"));
}
