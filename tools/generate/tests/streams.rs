//! What goes where: results and events to stdout, everything else to stderr.

mod common;

use std::fs;

use serde_json::Value;

use crate::common::{Scratch, command, fails, fixtures, generate, succeeds, text, tiny};

fn events(stdout: &[u8]) -> Vec<Value> {
    text(stdout).lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
}

#[test]
fn events_tell_the_whole_run() {
    let scratch = Scratch::new();
    let path = scratch.path("a.gif");
    let output = tiny(&["a prompt", "-o", &path, "--json", "-q"]);
    succeeds(&output);
    assert_eq!(text(&output.stderr), "");
    let events = events(&output.stdout);
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    let expected =
        [&["start", "loading", "loading"][..], &["step"; 3], &["loading"], &["frame"; 5], &["done"]].concat();
    assert_eq!(names, expected);
    let numbers = |event: &Value, keys: &[&str]| -> Vec<u64> {
        keys.iter().map(|key| event[*key].as_u64().unwrap_or_else(|| panic!("{key} in {event}"))).collect()
    };
    let start = numbers(&events[0], &["seed", "width", "height", "frames", "fps", "steps"]);
    assert_eq!(start, [7, 80, 48, 5, 16, 3]);
    assert_eq!(events[0]["output"], path.as_str());
    assert_eq!(events[2]["stage"], "transformer");
    assert_eq!(numbers(&events[4], &["step", "steps"]), [2, 3]);
    assert_eq!(numbers(&events[8], &["frame", "frames"]), [2, 5]);
    let done = events.last().expect("an event");
    assert_eq!((&done["output"], &done["seed"]), (&path.as_str().into(), &7.into()));
    let seconds: Vec<f64> = events.iter().filter_map(|event| event["seconds"].as_f64()).collect();
    assert!(seconds.len() == 9 && seconds.is_sorted(), "{seconds:?}");
}

#[test]
fn a_failure_is_an_event_too() {
    let scratch = Scratch::new();
    let last = |output: &std::process::Output, code: i32| {
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let event = events(&output.stdout).pop().expect("an event");
        assert_eq!(event["event"], "error");
        assert!(text(&output.stderr).contains(event["message"].as_str().expect("a message")), "{event}");
        event["kind"].as_str().expect("a kind").to_owned()
    };
    let path = scratch.path("a.gif");
    assert_eq!(last(&tiny(&["a", "-o", &path, "--json", "--frames", "6"]), 2), "request");
    assert_eq!(last(&tiny(&["a", "-o", &path, "--json", "--unknown"]), 2), "usage");
    assert_eq!(last(&generate(&["-m", &scratch.path("none"), "a", "--json"]), 1), "io");
    assert_eq!(last(&tiny(&["a", "-o", &scratch.path("no/a.gif"), "--json"]), 1), "io");
    assert_eq!(last(&tiny(&["a", "-o", "-", "--json"]), 2), "request");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_is_closed_ends_quietly() {
    use std::process::Stdio;
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    let path = scratch.path("a.gif");
    let tiny = ["-m", model, "--size", "80x48", "--frames", "5", "-t", "1", "a prompt", "-q", "-o"];
    for more in [&["-"][..], &[&path, "--json"]] {
        let output = command().args([&tiny[..], more].concat()).stdout(closed()).output().expect("the binary runs");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{more:?}");
    }
    assert!(fs::read(&path).expect("the video, which nobody stopped").starts_with(b"GIF89a"));
    for mode in [&["--man"][..], &["--completions", "bash"], &["--show-recipe", &path], &["--help"]] {
        let output = command().args(mode).stdout(closed()).output().expect("the binary runs");
        assert!(!text(&output.stderr).contains("panicked"), "{mode:?}: {}", text(&output.stderr));
    }
}

#[test]
fn modes_exclude_each_other_and_print_what_they_are_for() {
    let output = generate(&["--man"]);
    succeeds(&output);
    let page = text(&output.stdout);
    for said in [".TH generate 1", "recipe", "Exit status", "completions"] {
        assert!(page.contains(said), "{said}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = generate(&["--completions", shell]);
        succeeds(&output);
        assert!(text(&output.stdout).contains("show-recipe"), "{shell}");
    }
    fails(&generate(&["--completions", "cmd"]), 2, &["cmd", "bash", "zsh"]);
    for pair in [
        &["--man", "--plan"][..],
        &["--show-recipe", "a", "--man"],
        &["--completions", "zsh", "--plan"],
        &["--man", "a prompt"],
    ] {
        fails(&generate(pair), 2, &["cannot be used with"]);
    }
    let help = text(&generate(&["--help"]).stdout);
    for said in ["Instead of generating", "Examples:", "What to make", "Exit status"] {
        assert!(help.contains(said), "{said}: {help}");
    }
}

#[test]
fn no_colour_where_none_is_wanted() {
    let run = |variable: &str| {
        let output = command().args(["--unknown"]).env(variable, "1").output().expect("the binary runs");
        text(&output.stderr)
    };
    assert!(!run("NO_COLOR").contains('\u{1b}'));
}

#[test]
fn a_plan_is_printed_and_nothing_is_made() {
    let scratch = Scratch::new();
    let path = scratch.path("a.gif");
    let output = tiny(&["--plan", "-o", &path]);
    succeeds(&output);
    let table = text(&output.stdout);
    for said in ["80x48, 5 frames, 3 steps on cpu ", "text encoder", "transformer", "VAE decoder", "in all", "It fits"]
    {
        assert!(table.contains(said), "{said}: {table}");
    }
    let output = tiny(&["--plan", "--json", "a prompt"]);
    succeeds(&output);
    let [plan] = &events(&output.stdout)[..] else { panic!("one event") };
    assert_eq!((&plan["event"], &plan["fits"], &plan["steps"]), (&"plan".into(), &true.into(), &3.into()));
    let stages = plan["stages"].as_array().expect("stages");
    // Two latent frames of 6 x 10 in patches of 2 x 2, with and without the prompt.
    assert_eq!((&stages[1]["stage"], &stages[1]["tokens"]), (&"transformer".into(), &60.into()));
    for stage in stages {
        for key in ["linear_flop", "tensor_bytes", "weight_bytes", "seconds"] {
            assert!(stage[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {stage}");
        }
    }
    let little = ["--memory", "0.0001"];
    let output = tiny(&[&["--plan", "a prompt"], &little[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("It does not fit: the machine may use"), "{}", text(&output.stdout));
    fails(&tiny(&[&["a prompt", "-o", &path], &little[..]].concat()), 1, &["out of memory", "the budget is"]);
    succeeds(&tiny(&["--plan", "a prompt", "--memory", "1.5"]));
    for wrong in ["0", "-1", "nan", "much"] {
        fails(&tiny(&["--plan", "a prompt", "--memory", wrong]), 2, &["--memory", "a number of GiB above 0"]);
    }
    // No machine has as much memory.
    let huge = ["--plan", "--size", "16384x16384", "--frames", "4093"];
    let output = tiny(&huge);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("does not fit") && text(&output.stderr).contains("out of memory"));
    fails(&tiny(&[&huge[1..], &["a", "-o", &path]].concat()), 1, &["out of memory", "smaller size or fewer frames"]);
    fails(&tiny(&["--plan", "--frames", "6"]), 2, &["nearest is 5"]);
    assert!(scratch.list().is_empty(), "{:?}", scratch.list());
}

#[test]
fn a_long_run_is_announced_with_what_would_be_cheaper() {
    use std::io::{BufRead, BufReader};
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let mut child = command()
        .arg("-m")
        .arg(model)
        .args(["--size", "4096x4096", "--frames", "81", "-t", "1000", "a", "-o", &scratch.path("a.gif")])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("a line"));
    let said: Vec<String> = lines.take_while(|line| !line.starts_with("seed")).collect();
    child.kill().expect("the end");
    child.wait().expect("an end");
    let said = said.join("\n");
    for part in ["this will take about", "cheaper", "--steps 20", "--frames 33", "--size 2368x2368"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// The binary with a standard output that is closed, or that is a full device.
#[cfg(target_os = "linux")]
fn unwritable(redirection: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new("sh");
    command.env("XDG_CACHE_HOME", "/dev/null/nowhere").env("HOME", "/dev/null/nowhere");
    let script = format!("exec \"$0\" \"$@\" {redirection}");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_generate")]).args(arguments).output().expect("sh runs")
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_output_that_cannot_be_written_is_a_failure_in_every_mode() {
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    let small = ["-m", model, "--size", "32x32", "--frames", "1", "-t", "1", "--device", "cpu"];
    let video = scratch.path("recipe.gif");
    succeeds(&generate(&[&small[..], &["a", "-o", &video]].concat()));
    let mut checked = 0;
    for redirection in [">/dev/full", ">&-"] {
        let modes: [&[&str]; 8] = [
            &["--man"],
            &["--completions", "bash"],
            &["--help"],
            &["-h"],
            &["--version"],
            &["--list-devices"],
            &["--show-recipe", &video],
            &["--self-test=clamp", "--device", "cpu"],
        ];
        let plans = [[&small[..], &["--plan"]].concat(), [&small[..], &["--plan", "--json"]].concat()];
        for arguments in modes.into_iter().chain(plans.iter().map(Vec::as_slice)) {
            let output = unwritable(redirection, arguments);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{redirection} {arguments:?}: {said}");
            assert!(
                said.contains("generate: cannot write") && said.contains("standard output"),
                "{arguments:?}: {said}"
            );
            checked += 1;
        }
        // A run makes its video all the same, and says where it is.
        for (name, more) in [("path.gif", &[][..]), ("events.gif", &["--json"])] {
            let path = scratch.path(name);
            let output = unwritable(redirection, &[&small[..], more, &["a", "-q", "--force", "-o", &path]].concat());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{redirection} {more:?}: {said}");
            assert!(said.contains(&format!("{path} is complete")) && said.contains("standard output"), "{said}");
            assert!(fs::read(&path).expect("the video").starts_with(b"GIF89a"));
        }
        let folder = scratch.path(if redirection == ">&-" { "first" } else { "second" });
        let output = unwritable(redirection, &["--export-bundled", &folder]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    }
    assert_eq!(checked, 20);
    // Nobody could see the video: nothing is computed.
    let output = unwritable(">&-", &[&small[..], &["a", "-o", "-"]].concat());
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("was closed") && !said.contains("seed"), "{said}");
    // The null device is a place to write to, however it was opened.
    for redirection in [">/dev/null", "1<>/dev/null"] {
        succeeds(&unwritable(redirection, &["--version"]));
    }
}
