//! Places that cannot be written to: a typed error that names the place and the remedy, and nothing left but what was there.
//!
//! Those that take the right to mount are run by `.ci/faults.sh`, which makes the places and names them in ZOETROPE_FULL
//! (a few dozen KiB and inodes) and ZOETROPE_READ_ONLY.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use zoetrope::video::{self, Frame, FrameSink, SinkOptions};
use zoetrope::{Error, Result};

use crate::clips::{Folder, noisy, play, refused};

fn endings() -> impl Iterator<Item = &'static str> {
    video::formats().into_iter().filter(|ending| !matches!(*ending, "-" | ".apng"))
}

fn open(path: &Path, force: bool) -> Result<Box<dyn FrameSink>> {
    video::open(path, SinkOptions { force, comment: Some("a fox".into()), stdout: None })
}

fn place(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names a folder; see .ci/faults.sh")).into()
}

/// Every file below a folder and what it holds, hidden ones included; folders hold nothing.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path, Vec::new());
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    all
}

/// The cause and the message of a failure of the system, which names this place.
fn io_error(result: Result<()>, name: &str) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    let message = error.to_string();
    match &error {
        Error::Io { path, source, .. } if path.to_string_lossy().contains(name) => (source.kind(), message),
        _ => panic!("{message}"),
    }
}

#[test]
#[ignore = "needs a small disk: .ci/faults.sh"]
fn a_full_disk_costs_nothing_that_was_there() {
    let disk = place("ZOETROPE_FULL");
    let frames: Vec<Frame> = (0..3).map(|t| noisy(48, 32, t)).collect();
    let fill = |name: &str| {
        let (path, mut bytes) = (disk.join(name), 0);
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {
            bytes += 4096;
        }
        (path, bytes)
    };
    for ending in endings() {
        let path = disk.join(format!("video{ending}"));
        // Room for less and less of the video beside one that was there.
        let (mut failed, mut done) = (0, 0);
        for pages in 0..12 {
            for inodes in [0, 1, 2, 100] {
                let mut old = open(&path, true).unwrap();
                play(&mut old, 16, &[noisy(32, 32, 9)]).unwrap();
                fs::write(disk.join("keep"), "mine").unwrap();
                let (ballast, bytes) = fill("ballast");
                OpenOptions::new().write(true).open(&ballast).unwrap().set_len((bytes - pages * 4096) as u64).unwrap();
                let mut stones = Vec::new();
                while File::create_new(disk.join(format!("stone{}", stones.len()))).is_ok() {
                    stones.push(disk.join(format!("stone{}", stones.len())));
                }
                for stone in stones.iter().rev().take(inodes) {
                    fs::remove_file(stone).unwrap();
                }
                let before = contents(&disk);
                match open(&path, true).and_then(|mut sink| play(&mut sink, 16, &frames)) {
                    Ok(()) => done += 1,
                    Err(error) => {
                        let (kind, message) = io_error(Err(error), "video");
                        assert_eq!(kind, ErrorKind::StorageFull, "{message}");
                        assert!(message.contains("free some, or write to another disk"), "{message}");
                        assert!(contents(&disk) == before, "{ending}, {pages} pages, {inodes} inodes");
                        failed += 1;
                    }
                }
                for stone in stones {
                    let _ = fs::remove_file(stone);
                }
                fs::remove_file(ballast).unwrap();
            }
        }
        assert!(failed > 2 && done > 2, "{ending}: {failed} failed, {done} were done");
        let _ = if ending == "/" { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

#[test]
#[ignore = "needs a read-only place: .ci/faults.sh"]
fn a_read_only_place_is_refused_before_the_first_frame() {
    let place = place("ZOETROPE_READ_ONLY");
    for ending in endings() {
        let (kind, message) = io_error(open(&place.join(format!("video{ending}")), false).map(drop), "video");
        assert_eq!(kind, ErrorKind::ReadOnlyFilesystem, "{message}");
        assert!(message.contains("choose a folder that can be written to"), "{message}");
    }
    // A folder of frames that is there.
    if cfg!(feature = "png") {
        let (kind, _) = io_error(open(&place.join("frames/"), true).map(drop), "frames");
        assert_eq!(kind, ErrorKind::ReadOnlyFilesystem);
    }
}

#[test]
fn a_full_device_is_a_typed_error() {
    // Links give the full device the endings of files.
    let folder = Folder::new();
    for ending in endings().filter(|ending| *ending != "/") {
        let path = folder.0.join(format!("video{ending}"));
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let sink = open(&path, true);
        // The device takes a seek as a file does.
        let (kind, message) = io_error(sink.and_then(|mut sink| play(&mut sink, 16, &[noisy(64, 64, 0)])), "video");
        assert_eq!(kind, ErrorKind::StorageFull, "{message}");
        assert!(message.contains("free some"), "{message}");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let options = SinkOptions { stdout: Some(Box::new(full)), ..SinkOptions::default() };
    let mut sink = video::open(Path::new("-"), options).unwrap();
    let (kind, _) = io_error(play(&mut sink, 16, &[noisy(64, 64, 0)]), "-");
    assert_eq!(kind, ErrorKind::StorageFull);
}

#[test]
fn a_closed_pipe_is_told_from_other_failures() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let options = SinkOptions { stdout: Some(Box::new(writer)), ..SinkOptions::default() };
    let mut sink = video::open(Path::new("-"), options).unwrap();
    let (kind, _) = io_error(play(&mut sink, 16, &[noisy(64, 64, 0)]), "-");
    assert_eq!(kind, ErrorKind::BrokenPipe);
}

#[test]
fn a_folder_in_the_place_of_a_file_is_named() {
    let folder = Folder::new();
    for ending in endings() {
        let path = folder.0.join(format!("video{ending}"));
        if ending == "/" {
            // Its own place is a folder; a file in that place is refused.
            let file = folder.0.join("file");
            fs::write(&file, "mine").unwrap();
            assert!(refused(open(&folder.0.join("file/"), true).map(drop), "output").contains("file"));
            assert_eq!(fs::read(file).unwrap(), b"mine");
            continue;
        }
        fs::create_dir(&path).unwrap();
        fs::write(path.join("keep"), "mine").unwrap();
        for force in [false, true] {
            let why = refused(open(&path, force).map(drop), "output");
            assert!(why.contains("is a folder") && why.contains(&format!("video{ending}")), "{why}");
        }
        assert_eq!(contents(&path).len(), 1);
    }
}

#[test]
fn a_place_that_goes_away_under_a_run_is_an_error() {
    let folder = Folder::new();
    for ending in endings() {
        let inner = folder.0.join("inner");
        fs::create_dir(&inner).unwrap();
        let mut sink = open(&inner.join(format!("video{ending}")), false).unwrap();
        fs::remove_dir_all(&inner).unwrap();
        let (kind, message) = io_error(play(&mut sink, 16, &[noisy(64, 64, 0)]), "video");
        assert_eq!(kind, ErrorKind::NotFound, "{message}");
        drop(sink);
        assert!(folder.names().is_empty(), "{ending}: {:?}", folder.names());
    }
}
