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
