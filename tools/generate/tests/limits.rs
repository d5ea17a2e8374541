//! Every flag that takes a number, a text or a path, at its edges, just past them and far past them: what is possible runs,
//! the rest is refused in a line that names the flag and what can be had.

mod common;

use std::io::Write;
use std::process::{Output, Stdio};

use common::{Scratch, command, fails, fixtures, generate, succeeds, text};

/// What a value of a flag comes to.
enum Comes {
    /// The run is planned, whether it fits into memory or not.
    Planned,
    /// Exit status and parts of the message.
    Refused(i32, &'static [&'static str]),
}

use Comes::{Planned, Refused};

const NOT_WHOLE: Comes = Refused(2, &["whole number"]);
const NO_NUMBER: Comes = Refused(2, &["invalid"]);

/// Flags, a value each, and what comes of it; the checkpoint makes multiples of 16 pixels up to 16,384 and 4 n + 1 frames
/// up to 4093.
const TABLE: &[(&str, &str, Comes)] = &[
    ("--size", "16x16", Planned),
    ("--size", "16384x16", Planned),
    ("--size", "16400x16", Refused(2, &["width", "at most 16384"])),
    ("--size", "16x16400", Refused(2, &["height", "at most 16384"])),
    ("--size", "0x16", Refused(2, &["width", "nearest is 16"])),
    ("--size", "15x16", Refused(2, &["width", "nearest is 16"])),
    ("--size", "80*48", Planned),
    ("--size", "80X48", Planned),
    ("--size", "80×48", Planned),
    ("--size", " 80 x 48 ", Planned),
    ("--size", "80 * 48", Planned),
    ("--size", "", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "80", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "80x", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "80x48x2", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "+80x48", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "-80x48", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "80.0x48", Refused(2, &["WIDTHxHEIGHT"])),
    ("--size", "18446744073709551616x48", Refused(2, &["WIDTHxHEIGHT"])),
    ("--frames", "1", Planned),
    ("--frames", "4093", Planned),
    ("--frames", "4097", Refused(2, &["frames", "at most 4093"])),
    ("--frames", "0", Refused(2, &["frames", "nearest is 1"])),
    ("--frames", "2", Refused(2, &["frames", "nearest is"])),
    ("--frames", "-1", NOT_WHOLE),
    ("--frames", "1.5", NOT_WHOLE),
    ("--frames", "18446744073709551616", NOT_WHOLE),
    ("--seconds", "0.0001", Planned),
    ("--seconds", "255.8", Planned),
    ("--seconds", "256", Refused(2, &["seconds", "at most 255.81 s at 16 fps", "4093 frames"])),
    ("--seconds", "1e300", Refused(2, &["seconds", "at most 255.81 s"])),
    ("--seconds", "inf", Refused(2, &["seconds", "at most 255.81 s"])),
    ("--seconds", "0", Refused(2, &["seconds", "above 0"])),
    ("--seconds", "-1", Refused(2, &["seconds", "above 0"])),
    ("--seconds", "nan", Refused(2, &["seconds", "above 0"])),
    ("--seconds", "long", NO_NUMBER),
    ("--fps", "1", Planned),
    ("--fps", "240", Planned),
    ("--fps", "23.976", Planned),
    ("--fps", "24000/1001", Planned),
    ("--fps", "240.1", Refused(2, &["--fps", "within 1 and 240"])),
    ("--fps", "241", Refused(2, &["--fps", "within 1 and 240"])),
    ("--fps", "0.99", Refused(2, &["--fps", "within 1 and 240"])),
    ("--fps", "0", Refused(2, &["--fps", "above 0"])),
    ("--fps", "1/0", Refused(2, &["--fps", "above 0"])),
    ("--fps", "-1", Refused(2, &["--fps", "24000/1001"])),
    ("--fps", "nan", Refused(2, &["--fps", "24000/1001"])),
    ("--fps", "99999999999", Refused(2, &["--fps", "24000/1001"])),
    ("--steps", "1", Planned),
    ("--steps", "1000", Planned),
    ("--steps", "1001", Refused(2, &["steps", "1 to 1000"])),
    ("--steps", "0", Refused(2, &["steps", "1 to 1000"])),
    ("--steps", "-1", NOT_WHOLE),
    ("--steps", "18446744073709551616", NOT_WHOLE),
    ("--guidance", "1", Planned),
    ("--guidance", "0", Planned),
    ("--guidance", "nan", Refused(2, &["guidance"])),
    ("--guidance", "inf", Refused(2, &["guidance"])),
    ("--guidance", "1e39", Refused(2, &["guidance"])),
    ("--guidance", "much", NO_NUMBER),
    ("--seed", "0", Planned),
    ("--seed", "18446744073709551615", Planned),
    ("--seed", "-1", Planned),
    ("--seed", "18446744073709551616", Refused(2, &["--seed", "-1 for a random one"])),
    ("--seed", "-2", Refused(2, &["--seed", "-1 for a random one"])),
    ("--seed", "1.5", Refused(2, &["--seed", "-1 for a random one"])),
    ("--seed", "", Refused(2, &["--seed", "-1 for a random one"])),
    ("--shift", "0.01", Planned),
    ("--shift", "0", Refused(2, &["shift"])),
    ("--shift", "-1", Refused(2, &["shift"])),
    ("--shift", "nan", Refused(2, &["shift"])),
    ("--shift", "inf", Refused(2, &["shift"])),
    ("--shift", "1e308", Refused(2, &["shift"])),
    ("--sigmas", "1,0.5", Planned),
    ("--sigmas", "0.5,0.8", Refused(2, &["sigmas", "strictly decrease"])),
    ("--sigmas", "0.5,0.5", Refused(2, &["sigmas", "strictly decrease"])),
    ("--sigmas", "1.5", Refused(2, &["sigmas"])),
    ("--sigmas", "0", Refused(2, &["sigmas"])),
    ("--sigmas", "-1", Refused(2, &["sigmas"])),
    ("--sigmas", "nan", Refused(2, &["sigmas"])),
    ("--sigmas", "", NO_NUMBER),
    ("--zoom", "1", Planned),
    ("--zoom", "64", Planned),
    ("--zoom", "65", Refused(2, &["--zoom", "1..=64"])),
    ("--zoom", "0", Refused(2, &["--zoom", "1..=64"])),
    ("--zoom", "-1", Refused(2, &["-1"])),
    ("--zoom", "65536", Refused(2, &["--zoom", "1..=64"])),
    ("--memory", "0.0001", Planned),
    ("--memory", "4294967295", Planned),
    ("--memory", "4294967296", Refused(2, &["--memory", "GiB"])),
    ("--memory", "0", Refused(2, &["--memory", "above 0"])),
    ("--memory", "-1", Refused(2, &["--memory", "above 0"])),
    ("--memory", "nan", Refused(2, &["--memory", "above 0"])),
    ("--memory", "inf", Refused(2, &["--memory", "GiB"])),
    ("--threads", "1", Planned),
    ("--threads", "1025", Refused(2, &["--threads", "1..=1024"])),
    ("--threads", "0", Refused(2, &["--threads", "1..=1024"])),
    ("--threads", "-1", Refused(2, &["--threads", "1..=1024"])),
    ("--threads", "65536", Refused(2, &["--threads", "1..=1024"])),
    ("--sampler", "", Refused(2, &["unipc", "euler"])),
    ("--sampler", "dpm", Refused(2, &["unipc", "euler"])),
    ("--schedule", "linear", Refused(2, &["diffusers", "native", "distilled"])),
    ("--precision", "", Refused(2, &["--precision", "full", "half"])),
    ("--precision", "f64", Refused(2, &["--precision", "full", "half"])),
    ("--device", "", Refused(2, &["--device", "auto, cpu, vulkan"])),
    ("--device", "vulkan:", Refused(2, &["vulkan:N"])),
    ("--device", "vulkan:-1", Refused(2, &["vulkan:N"])),
    ("--device", "vulkan:18446744073709551616", Refused(2, &["vulkan:N"])),
    ("--prompt", "", Planned),
    ("--prompt", "\u{1}\u{7f}\u{202e}", Planned),
    ("--negative-prompt", "", Planned),
    ("--model", "", Refused(2, &["--model"])),
    ("--model", "/dev/null", Refused(1, &["/dev/null"])),
    ("--recipe", "", Refused(2, &["--recipe"])),
    ("--recipe", "/", Refused(1, &["/frame_00001.png"])),
    ("--self-test=no such op", "", Refused(2, &["no such op"])),
];

/// The binary with the flags of a small run, but for those that the table gives.
fn planned(flag: &str, value: &str) -> Output {
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    let mut arguments: Vec<String> = Vec::new();
    if flag.starts_with("--self-test") {
        return generate(&[flag]);
    }
    let mut add = |names: &[&str], more: &[&str]| {
        if !names.contains(&flag) {
            arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        }
    };
    add(&["--model"], &["-m", model]);
    add(&["--size"], &["--size", "80x48"]);
    add(&["--frames", "--seconds"], &["--frames", "5"]);
    add(&["--steps", "--sigmas"], &["-t", "3"]);
    add(&["--prompt"], &["-p", "a cat"]);
    add(&["--device"], &["--device", "cpu"]);
    arguments.extend(["--plan".to_owned(), format!("{flag}={value}")]);
    command().args(arguments).output().expect("the binary runs")
}

#[test]
fn every_flag_at_just_past_and_far_past_its_edges() {
    let mut wrong = Vec::new();
    for (flag, value, comes) in TABLE {
        let output = planned(flag, value);
        let (code, message) = (output.status.code(), text(&output.stderr));
        let right = match comes {
            // A plan that does not fit ends with 1, after it is printed.
            Planned => {
                let printed = text(&output.stdout).contains("in all");
                printed && (code == Some(0) || code == Some(1) && message.contains("out of memory"))
            }
            Refused(status, fragments) => {
                let said = fragments.iter().all(|fragment| message.contains(fragment));
                code == Some(*status) && said && output.stdout.is_empty() && message.lines().count() <= 12
            }
        };
        if !right || message.contains("panicked") {
            wrong.push(format!("{flag}={value}: {code:?} {message}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

/// A run that takes a moment, with these flags.
fn run(more: &[&str]) -> Output {
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    generate(&[&["-m", model, "--size", "32x32", "--frames", "1", "-t", "1", "--device", "cpu"][..], more].concat())
}

#[test]
fn a_random_seed_is_said() {
    let scratch = Scratch::new();
    let seed = |name: &str| {
        let output = run(&["a cat", "-s", "-1", "-o", &scratch.path(name)]);
        succeeds(&output);
        let said = text(&output.stderr);
        said.lines().find_map(|line| line.strip_prefix("seed ")?.parse::<u64>().ok()).expect("the seed is said")
    };
    let (first, second) = (seed("a.y4m"), seed("b.y4m"));
    assert!(first != second && first <= u32::MAX.into());
    // The seed that was said makes the same video.
    succeeds(&run(&["a cat", "-s", &first.to_string(), "-o", &scratch.path("c.y4m")]));
    let read = |name: &str| std::fs::read(scratch.path(name)).expect("a video");
    assert!(read("a.y4m") == read("c.y4m"));
}

#[test]
fn rates_that_are_not_whole_are_in_the_file_and_in_the_recipe() {
    let scratch = Scratch::new();
    let [stream, gif, again] = ["a.y4m", "a.gif", "b.gif"].map(|name| scratch.path(name));
    succeeds(&run(&["a cat", "--fps", "23.976", "-o", &stream]));
    assert!(std::fs::read(stream).expect("a video").starts_with(b"YUV4MPEG2 W32 H32 F24000:1001 "));
    let output = run(&["a cat", "--fps", "23.976", "-o", &gif, "--json"]);
    succeeds(&output);
    assert!(text(&output.stdout).contains("\"fps\":\"24000/1001\""), "{}", text(&output.stdout));
    let recipe = generate(&["--show-recipe", &gif]);
    assert!(text(&recipe.stdout).contains("\"fps\": \"24000/1001\""), "{}", text(&recipe.stdout));
    succeeds(&run(&["--recipe", &gif, "-o", &again]));
    assert!(std::fs::read(&gif).expect("a video") == std::fs::read(&again).expect("a video"));
}

#[test]
fn names_of_outputs_may_be_as_long_as_the_system_takes() {
    let scratch = Scratch::new();
    let longest = |ending: &str| format!("{}{ending}", "n".repeat(255 - ending.len()));
    for ending in [".y4m", ".gif", "/"] {
        let name = longest(ending.trim_end_matches('/')) + if ending == "/" { "/" } else { "" };
        succeeds(&run(&["a cat", "-o", &scratch.path(&name)]));
    }
    let latents = longest(".safetensors");
    succeeds(&run(&["a cat", "-o", &scratch.path("a.y4m"), "--save-latents", &scratch.path(&latents)]));
    let folder = longest("");
    let exported = scratch.path(&format!("{}x", &folder[1..]));
    succeeds(&generate(&["--export-bundled", &exported]));
    assert_eq!(scratch.list().len(), 6, "{:?}", scratch.list());
    for (flags, name) in [
        (&["a cat", "-o"][..], format!("n{}", longest(".y4m"))),
        (&["a cat", "-o"], format!("n{}", longest(".gif"))),
        (&["a cat", "-o", "b.y4m", "--save-latents"], format!("n{latents}")),
    ] {
        fails(&run(&[flags, &[&scratch.path(&name)]].concat()), 1, &["ame too long", "choose a shorter name"]);
    }
    fails(&run(&["a cat", "-o", &scratch.path(&format!("n{folder}/"))]), 1, &["ame too long", "choose a shorter name"]);
    fails(&generate(&["--export-bundled", &scratch.path(&format!("n{folder}"))]), 1, &["ame too long"]);
    fails(&run(&["a cat", "-o", ""]), 2, &["--output"]);
    assert_eq!(scratch.list().len(), 6, "nothing else is left: {:?}", scratch.list());
}

#[test]
fn a_long_prompt_gets_a_name_that_file_systems_take() {
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    for prompt in ["snow ".repeat(4000), "雪".repeat(2000)] {
        let mut command = command();
        command.arg("-m").arg(&model).args(["--size", "32x32", "--frames", "1", "-t", "1", "-s", "7", &prompt]);
        let output = command.current_dir(&scratch.0).output().expect("the binary runs");
        succeeds(&output);
        let name = text(&output.stdout).trim_end().to_owned();
        assert!(name.len() <= 143 && scratch.0.join(&name).is_file(), "{name}");
    }
}

/// The binary with this on standard input as its prompt.
fn piped(bytes: &[u8]) -> Output {
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let mut command = command();
    command.arg("-m").arg(&model).args([
        "--size",
        "32x32",
        "--frames",
        "1",
        "-t",
        "1",
        "-",
        "-o",
        &scratch.path("a.y4m"),
    ]);
    let mut child = (command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped())).spawn().expect("runs");
    // The binary need not read all of it.
    let _ = child.stdin.take().expect("a pipe").write_all(bytes);
    child.wait_with_output().expect("an end")
}

#[test]
fn a_prompt_on_standard_input_is_whole_or_refused() {
    let long = "a boat on a lake ".repeat((1 << 20) / 17 + 1);
    fails(&piped(long.as_bytes()), 2, &["prompt", "more than 1 MiB", "512 tokens"]);
    fails(&piped(b"a caf\xe9 on a lake"), 2, &["prompt", "not UTF-8", "at byte 5", "iconv"]);
    succeeds(&piped("un café ☕\n".as_bytes()));
    succeeds(&piped(b""));
}
