//! What the tests of the binary share.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder of its own for one test, removed with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("zoetrope-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a scratch folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a unicode path").to_owned()
    }

    /// What is left in the folder, sorted, hidden files included.
    pub fn list(&self) -> Vec<String> {
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

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The binary, which does not find a cache folder of the user.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_generate"));
    command.env("XDG_CACHE_HOME", "/dev/null/nowhere").env("HOME", "/dev/null/nowhere");
    command
}

pub fn generate(arguments: &[&str]) -> Output {
    command().args(arguments).output().expect("the binary runs")
}

/// The flags of a run that takes a fraction of a second, then `more`.
pub fn tiny(more: &[&str]) -> Output {
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    generate(&[&["-m", model, "--size", "80x48", "--frames", "5", "-t", "3", "-s", "7"][..], more].concat())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("unicode")
}

#[track_caller]
pub fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Exit status and message of a failure that says all of `fragments`.
#[track_caller]
pub fn fails(output: &Output, code: i32, fragments: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "stdout is for results");
    for fragment in fragments {
        assert!(message.contains(fragment), "{fragment:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// A copy of the checkpoint that may be damaged.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a listing").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
