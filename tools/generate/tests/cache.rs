//! A prompt that was used before does not need the text encoder.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::common::{Scratch, command, copy, fixtures, succeeds, text};

#[test]
fn the_encoder_is_not_touched_again() {
    let scratch = Scratch::new();
    let (model, cache) = (scratch.path("model"), scratch.path("cache"));
    copy(&fixtures().join("checkpoints/b"), Path::new(&model));
    let run = |prompt: &str, name: &str, more: &[&str]| -> (Output, Vec<u8>) {
        let path = scratch.path(name);
        let flags =
            ["-m", &model, "--size", "80x48", "--frames", "5", "-t", "2", "-s", "7", "--force", "-o", &path, prompt];
        let mut command = command();
        let output = command.args(flags).args(more).env("XDG_CACHE_HOME", &cache).output().expect("the binary runs");
        succeeds(&output);
        (output, fs::read(path).expect("a video"))
    };
    let encodes = |output: &Output| text(&output.stderr).contains("loading the text encoder");
    let entries = || fs::read_dir(Path::new(&cache).join("zoetrope/text")).map_or(0, Iterator::count);

    let (output, plain) = run("a boat", "a.png", &["--no-text-cache"]);
    assert!(encodes(&output) && entries() == 0);
    let (output, first) = run("a boat", "b.png", &[]);
    assert!(encodes(&output) && entries() == 2, "prompt and negative prompt: {}", entries());
    let (output, again) = run("a boat", "c.png", &[]);
    assert!(!encodes(&output), "{}", text(&output.stderr));
    assert!(plain == first && first == again);
    assert!(encodes(&run("a ship", "d.png", &[]).0), "another prompt");
    assert_eq!(entries(), 3);
    assert!(!encodes(&run("a boat", "e.png", &["--guidance", "1"]).0));

    for entry in fs::read_dir(Path::new(&cache).join("zoetrope/text")).expect("entries") {
        fs::write(entry.expect("an entry").path(), "damaged").expect("a file");
    }
    let (output, repaired) = run("a boat", "f.png", &[]);
    assert!(encodes(&output) && repaired == first, "damaged entries are passed over");
    assert!(!encodes(&run("a boat", "g.png", &[]).0), "and replaced");

    // Other weights, other embeddings.
    let weights = fs::read_dir(Path::new(&model).join("text_encoder")).expect("the encoder");
    let weights = weights
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|e| e == "safetensors"));
    let weights = weights.expect("weights");
    let mut bytes = fs::read(&weights).expect("weights");
    let last = bytes.len() - 1;
    bytes[last - 8] ^= 1;
    fs::write(&weights, bytes).expect("a file");
    assert!(encodes(&run("a boat", "h.png", &[]).0), "the encoder has changed");
}
