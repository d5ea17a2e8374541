//! Places that a run cannot write to: exit status 1 (2 for what is no place at all), one line that names the place and the
//! remedy, nothing left but what was there. Those that take the right to mount are run by `.ci/faults.sh`.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{Scratch, command, copy, fails, fixtures, succeeds, text, tiny};

/// Endings of outputs that this build can write.
fn endings() -> Vec<&'static str> {
    let mut endings = vec![".gif", ".png", ".y4m", "/"];
    if cfg!(feature = "mp4") {
        endings.push(".mp4");
    }
    endings
}

fn place(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names a folder; see .ci/faults.sh")).into()
}

fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a listing")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("unicode"))
        .collect();
    names.sort();
    names
}

/// Whatever failed said so in one line, the last.
#[track_caller]
fn one_line(output: &Output) {
    let message = text(&output.stderr);
    let lines: Vec<&str> = message.lines().filter(|line| line.starts_with("generate: ")).collect();
    assert_eq!((lines.len(), message.lines().last()), (1, lines.first().copied()), "{message}");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_named_with_what_to_write_instead() {
    let scratch = Scratch::new();
    for ending in endings().into_iter().filter(|ending| *ending != "/") {
        let path = scratch.path(&format!("video{ending}"));
        fs::create_dir(&path).expect("a folder");
        for force in [&[][..], &["--force"]] {
            let output = tiny(&[&["a", "-o", &path], force].concat());
            fails(&output, 2, &[&path, "is a folder", &format!("{path}/")]);
            one_line(&output);
            assert!(list(Path::new(&path)).is_empty());
        }
    }
}

/// Root may write anywhere: then the binary runs as nobody, from a place that nobody can reach.
#[test]
fn a_folder_without_the_right_to_write_is_named_before_the_run() {
    let scratch = Scratch::new();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    let (locked, model) = (scratch.0.join("locked"), scratch.0.join("model"));
    fs::create_dir(&locked).expect("a folder");
    fs::write(locked.join("keep"), "mine").expect("a file");
    copy(&fixtures().join("checkpoints/b"), &model);
    let binary = scratch.0.join("generate");
    fs::copy(env!("CARGO_BIN_EXE_generate"), &binary).expect("a copy");
    open(&scratch.0, 0o755);
    open(&locked, 0o555);
    let root = fs::metadata("/proc/self").expect("this process").uid() == 0;
    for ending in endings() {
        let path = locked.join(format!("video{ending}"));
        let mut command = Command::new(&binary);
        command.env("XDG_CACHE_HOME", "/dev/null/nowhere").env("HOME", "/dev/null/nowhere");
        if root {
            command.uid(65_534).gid(65_534);
        }
        command.arg("-m").arg(&model).args(["--size", "80x48", "--frames", "5", "-t", "1", "a", "-o"]).arg(&path);
        let output = command.output().expect("the binary runs");
        fails(&output, 1, &["locked/video", "ermission denied", "choose a folder that can be written to"]);
        assert!(!text(&output.stderr).contains("seed"), "found before the run: {}", text(&output.stderr));
        one_line(&output);
        assert_eq!(list(&locked), ["keep"]);
    }
    open(&locked, 0o755);
}

#[test]
fn a_full_device_for_the_stream_is_a_failure_and_a_closed_pipe_is_not() {
    let model = fixtures().join("checkpoints/b");
    let run = |stdout: Stdio| {
        let mut command = command();
        command.arg("-m").arg(&model).args(["--size", "80x48", "--frames", "5", "-t", "1", "a", "-o", "-"]);
        command.stdout(stdout).output().expect("the binary runs")
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
    let output = run(full.into());
    fails(&output, 1, &["cannot write -", "No space left", "free some, or write to another disk"]);
    one_line(&output);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = run(writer.into());
    succeeds(&output);
    assert!(!text(&output.stderr).contains("generate: "), "{}", text(&output.stderr));
}

#[test]
#[ignore = "needs a small disk: .ci/faults.sh"]
fn a_full_disk_ends_the_run_and_keeps_what_was_there() {
    let disk = place("ZOETROPE_FULL");
    fs::write(disk.join("keep"), "mine").expect("a file");
    for ending in endings() {
        let path = disk.join(format!("video{ending}"));
        let path = path.to_str().expect("unicode");
        let room = |pages: u64| {
            let file = fs::File::create(disk.join("ballast")).expect("a file");
            let free = (1..).find(|pages| fs::write(disk.join("ballast"), vec![7; pages << 12]).is_err());
            file.set_len((free.expect("an end") as u64 - 1 - pages) << 12).expect("room");
        };
        // Something is there already, made while there was room.
        succeeds(&tiny(&["a", "--force", "--frames", "1", "-o", path]));
        let old = list(&disk);
        for pages in [0, 1, 3] {
            room(pages);
            let output = tiny(&["a", "--force", "--zoom", "2", "-o", path]);
            fails(&output, 1, &["video", "No space left", "free some, or write to another disk"]);
            one_line(&output);
            fs::remove_file(disk.join("ballast")).expect("the ballast");
            assert_eq!(list(&disk), old, "{ending}, {pages} pages");
        }
        // What was there is whole: its frames are those of one more run like it.
        let kept = if ending == "/" { disk.join("video/frame_00001.png") } else { path.into() };
        let kept = fs::read(kept).expect("what was there");
        succeeds(&tiny(&["a", "--force", "--frames", "1", "-o", path]));
        let again = if ending == "/" { disk.join("video/frame_00001.png") } else { path.into() };
        assert!(fs::read(&again).expect("a video") == kept, "{ending}");
        let _ = if ending == "/" { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    assert_eq!(list(&disk), ["keep"]);
    fs::remove_file(disk.join("keep")).expect("the file");
}

#[test]
#[ignore = "needs a read-only place: .ci/faults.sh"]
fn a_read_only_disk_is_named_before_the_run() {
    let disk = place("ZOETROPE_READ_ONLY");
    let before = list(&disk);
    for ending in endings() {
        let path = disk.join(format!("video{ending}"));
        let output = tiny(&["a", "-o", path.to_str().expect("unicode")]);
        fails(&output, 1, &["video", "ead-only file system", "choose a folder that can be written to"]);
        assert!(!text(&output.stderr).contains("seed"), "found before the run: {}", text(&output.stderr));
        one_line(&output);
        assert_eq!(list(&disk), before);
    }
}
