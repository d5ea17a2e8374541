//! The checkpoint in the binary.

mod common;

use std::fs;

use common::{Scratch, command, fails, generate, succeeds, text};

const PROMPT: &str = "a red circle moving right on a blue background";

#[test]
fn a_prompt_alone_makes_a_video_and_the_exported_folder_the_same_one() {
    let scratch = Scratch::new();
    let (alone, named, folder) = (scratch.path("alone.png"), scratch.path("named.png"), scratch.path("checkpoint"));
    succeeds(&generate(&[PROMPT, "-s", "3", "-t", "2", "--no-recipe", "-o", &alone]));
    let exported = generate(&["--export-bundled", &folder]);
    succeeds(&exported);
    assert_eq!(text(&exported.stdout).trim_end(), folder);
    assert_eq!(scratch.list(), ["alone.png", "checkpoint"], "nothing else stays");
    succeeds(&generate(&["-m", &folder, PROMPT, "-s", "3", "-t", "2", "--no-recipe", "-o", &named]));
    assert!(fs::read(&alone).expect("a video") == fs::read(&named).expect("a video"));
    fails(&generate(&["--export-bundled", &folder]), 2, &["exists already"]);
}

#[test]
fn a_recipe_of_the_bundled_checkpoint_needs_no_model_and_another_one_does() {
    let scratch = Scratch::new();
    let (first, again) = (scratch.path("first.gif"), scratch.path("again.gif"));
    succeeds(&generate(&["-m", "bundled", PROMPT, "-s", "3", "-t", "2", "-o", &first]));
    succeeds(&generate(&["--recipe", &first, "-o", &again]));
    assert!(fs::read(&first).expect("a video") == fs::read(&again).expect("a video"));
    let other = scratch.path("other.gif");
    succeeds(&common::tiny(&["a boat", "-o", &other]));
    fails(&generate(&["--recipe", &other, "-o", &again, "--force"]), 2, &["--model"]);
}

#[test]
fn words_that_it_has_never_seen_are_said() {
    let scratch = Scratch::new();
    let output = generate(&["a dragon circling on a teal background", "-t", "1", "-o", &scratch.path("a.gif")]);
    succeeds(&output);
    let said = text(&output.stderr);
    assert!(said.contains("never seen this word: dragon;") && said.contains("--model"), "{said}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    fails(&generate(&["--export-bundled", "/dev/null/folder"]), 1, &["/dev/null"]);
    let here = Scratch::new();
    succeeds(&command().current_dir(&here.0).args(["--export-bundled", "out/"]).output().expect("the binary runs"));
    assert_eq!(here.list(), ["out"]);
}
