//! Signals that end other programs without a word: files that shrink while they are mapped, and limits on the size of
//! files.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Scratch, command, copy, fixtures, succeeds, text, tiny};

#[test]
fn a_file_that_shrinks_while_it_is_mapped_is_named_with_the_remedy() {
    for attempt in 0..3 {
        let scratch = Scratch::new();
        let model = scratch.path("model");
        copy(&fixtures().join("checkpoints/b"), Path::new(&model));
        let output = scratch.path(["a.y4m", "a.gif", "frames/"][attempt]);
        let flags =
            ["-m", &model, "--size", "1024x1024", "--frames", "5", "--device", "cpu", "--json", "a", "-o", &output];
        let mut child = (command().args(flags).stdout(Stdio::piped()).stderr(Stdio::piped())).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("a line"));
        assert!(lines.any(|line| line.contains("loading the transformer")), "the run starts");
        let weights = Path::new(&model).join("transformer/diffusion_pytorch_model.safetensors");
        fs::File::options().write(true).open(&weights).expect("the weights").set_len(0).expect("a truncation");
        let said: Vec<String> = lines.collect();
        let status = child.wait().expect("an end");
        let said = said.join("\n");
        assert_eq!(status.code(), Some(1), "attempt {attempt}: {status}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("generate: cannot read ") && last.contains("diffusion_pytorch_model"), "{said}");
        assert!(last.contains("--no-mmap"), "{said}");
        let mut events = String::new();
        child.stdout.take().expect("stdout").read_to_string(&mut events).expect("events");
        assert!(events.lines().last().is_some_and(|line| line.contains("\"error\"")), "{events}");
        assert_eq!(scratch.list(), ["model"], "nothing incomplete is left");
    }
}

/// SIGBUS that another process sends is no lost page.
#[test]
fn a_signal_from_outside_ends_the_process_as_ever() {
    use std::os::unix::process::ExitStatusExt;
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let mut command = command();
    command.arg("-m").arg(model).args(["--size", "1024x1024", "--frames", "5", "--device", "cpu", "a", "-o"]);
    let mut child = command.arg(scratch.path("a.y4m")).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.contains("transformer")), "the run starts");
    assert!(Command::new("kill").args(["-BUS", &child.id().to_string()]).status().expect("kill runs").success());
    assert_eq!(child.wait().expect("an end").signal(), Some(7));
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_with_a_remedy() {
    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    let mut endings = vec!["a.y4m", "a.png", "a.gif", "frames/"];
    if cfg!(feature = "mp4") {
        endings.push("a.mp4");
    }
    for name in endings {
        let path = scratch.path(name);
        let binary = env!("CARGO_BIN_EXE_generate");
        // Blocks of 512 bytes, or of 1024 in some shells: less than any of the videos.
        let script = format!(
            "ulimit -f 8; exec {binary} -m {model} --size 80x48 --frames 5 -t 1 --zoom 4 --no-text-cache a -o {path}"
        );
        let output =
            Command::new("sh").args(["-c", &script]).env("HOME", "/dev/null/nowhere").output().expect("sh runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {}: {said}", output.status);
        assert!(said.contains("ile too large") && said.contains("ulimit -f"), "{name}: {said}");
        assert!(scratch.list().is_empty(), "{name}: {:?}", scratch.list());
    }
    succeeds(&tiny(&["a", "-o", &scratch.path("b.y4m")]));
}
