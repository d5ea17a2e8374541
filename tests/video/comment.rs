//! Comments: what a sink keeps is what the reader gives back, and no file makes the reader panic, wait or swell.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use zoetrope::video::{self, MAX_COMMENT, SinkOptions, VideoInfo, read_comment};
use zoetrope::{Error, Result};

use crate::clips::{Folder, noisy, play, refused};

/// Endings of the formats that keep comments.
fn formats() -> impl Iterator<Item = &'static str> {
    video::formats().into_iter().filter(|ending| !matches!(*ending, "-" | ".y4m" | ".apng"))
}

/// A video of two frames with this comment.
fn write(folder: &Folder, ending: &str, comment: Option<&str>) -> PathBuf {
    let path = folder.0.join(format!("a{ending}"));
    let options = SinkOptions { force: true, comment: comment.map(str::to_owned), stdout: None };
    play(&mut video::open(&path, options).unwrap(), 16, &[noisy(16, 16, 0), noisy(16, 16, 1)]).unwrap();
    path
}

/// What the reader says of these bytes.
fn read(folder: &Folder, bytes: &[u8]) -> Result<Option<String>> {
    let path = folder.0.join("bytes");
    fs::write(&path, bytes).unwrap();
    read_comment(&path)
}

/// The reason of an error, which must name the file.
fn damaged(folder: &Folder, bytes: &[u8]) -> String {
    match read(folder, bytes) {
        Err(Error::Io { path, source, .. }) => {
            assert_eq!(path, folder.0.join("bytes"));
            source.to_string()
        }
        other => panic!("no error: {other:?}"),
    }
}

#[test]
fn comments_come_back() {
    let folder = Folder::new();
    let long = r#"{"prompt": "ein Schiff \"λ\" 🚢\u0000"}"#.repeat(2000);
    for ending in formats() {
        assert_eq!(read_comment(&write(&folder, ending, None)).unwrap(), None, "{ending}");
        for comment in ["", "a", "\0", &"x".repeat(255), &"ü".repeat(255), &long, &"n".repeat(MAX_COMMENT)] {
            let path = write(&folder, ending, Some(comment));
            assert!(read_comment(&path).unwrap().as_deref() == Some(comment), "{ending}, {} bytes", comment.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn any_comment_comes_back(text in proptest::collection::vec(any::<char>(), 0..3000)) {
        let (folder, text) = (Folder::new(), String::from_iter(text));
        for ending in formats() {
            let path = write(&folder, ending, Some(&text));
            prop_assert!(read_comment(&path).unwrap().as_ref() == Some(&text), "{}", ending);
        }
    }
}

#[test]
fn the_name_of_a_file_does_not_matter() {
    let folder = Folder::new();
    for ending in formats().filter(|ending| *ending != "/") {
        let path = write(&folder, ending, Some("x"));
        let other = folder.0.join("video.jpg");
        fs::rename(path, &other).unwrap();
        assert_eq!(read_comment(&other).unwrap().as_deref(), Some("x"), "{ending}");
    }
}

#[cfg(feature = "png")]
#[test]
fn any_frame_of_a_folder_will_do() {
    let folder = Folder::new();
    let path = write(&folder, "/", Some("x"));
    for frame in ["frame_00001.png", "frame_00002.png"] {
        assert_eq!(read_comment(&path.join(frame)).unwrap().as_deref(), Some("x"));
    }
    fs::remove_file(path.join("frame_00001.png")).unwrap();
    assert_eq!(read_comment(&path.join("frame_00002.png")).unwrap(), None);
    let error = read_comment(&path).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("frame_00001.png")), "{error}");
}

#[test]
fn what_keeps_no_comment_says_so() {
    let folder = Folder::new();
    assert_eq!(read_comment(&write(&folder, ".y4m", Some("x"))).unwrap(), None);
    assert!(damaged(&folder, b"RIFF....WAVE").contains("no mp4"));
    assert!(damaged(&folder, b"").contains("no mp4"));
    assert!(
        matches!(read_comment(&folder.0.join("missing")), Err(Error::Io { path, .. }) if path.ends_with("missing"))
    );
    #[cfg(unix)]
    assert!(matches!(read_comment(Path::new("/dev/zero")), Err(Error::Io { .. })));
}

#[test]
fn too_long_a_comment_is_refused_before_anything_is_written() {
    let folder = Folder::new();
    let comment = "n".repeat(MAX_COMMENT + 1);
    for ending in formats() {
        let options = SinkOptions { comment: Some(comment.clone()), ..SinkOptions::default() };
        let mut sink = video::open(&folder.0.join(format!("b{ending}")), options).unwrap();
        let info = VideoInfo { width: 16, height: 16, fps: 16.into(), frames: 1 };
        assert!(refused(sink.check(&info), "comment").contains(&MAX_COMMENT.to_string()), "{ending}");
        assert!(refused(sink.start(&info), "comment").contains(&MAX_COMMENT.to_string()), "{ending}");
    }
}

/// Files of every format with this comment.
fn files(comment: &str) -> Vec<(&'static str, Vec<u8>)> {
    let folder = Folder::new();
    let bytes = |ending| fs::read(write(&folder, ending, Some(comment))).unwrap();
    formats().filter(|ending| *ending != "/").map(|ending| (ending, bytes(ending))).collect()
}

#[test]
fn a_file_that_is_cut_short_has_its_comment_or_an_error() {
    let (folder, comment) = (Folder::new(), "a fox, ünï ".repeat(40));
    for (ending, bytes) in files(&comment) {
        let mut errors = 0;
        for cut in 0..bytes.len() {
            match read(&folder, &bytes[..cut]) {
                Ok(Some(back)) => assert_eq!(back, comment, "{ending}, cut at {cut}"),
                Err(Error::Io { path, .. }) if path.ends_with("bytes") => errors += 1,
                other => panic!("{ending}, cut at {cut}: {other:?}"),
            }
        }
        assert!(errors > comment.len(), "{ending}: every cut up to the comment's end is an error");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn a_damaged_file_has_a_comment_or_an_error(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let folder = Folder::new();
        for (ending, mut bytes) in files("a fox") {
            let start = bytes.len().min(1500);
            for (at, value) in &edits {
                bytes[at.index(start)] = *value;
            }
            let ok = matches!(read(&folder, &bytes), Ok(_) | Err(Error::Io { .. }));
            prop_assert!(ok, "{}", ending);
        }
    }
}

/// An mp4 box.
fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32 + 8).to_be_bytes(), kind.as_slice(), payload].concat()
}

/// An mp4 of nothing but a comment, whose data box is this.
fn mp4(data: &[u8]) -> Vec<u8> {
    let list = boxed(b"ilst", &boxed(b"\xa9cmt", data));
    let moov = boxed(b"moov", &boxed(b"udta", &boxed(b"meta", &[&[0; 4], list.as_slice()].concat())));
    [boxed(b"ftyp", b"isom"), moov].concat()
}

#[test]
fn an_mp4_is_taken_at_its_boxes_and_not_at_their_word() {
    let folder = Folder::new();
    let text = |kind: u8, text: &[u8]| boxed(b"data", &[&[0, 0, 0, kind, 0, 0, 0, 0], text].concat());
    assert_eq!(read(&folder, &mp4(&text(1, b"x"))).unwrap().as_deref(), Some("x"));
    assert_eq!(read(&folder, &mp4(b"")).unwrap(), None);
    assert!(damaged(&folder, &mp4(&text(1, b"\xff"))).contains("UTF-8"));
    assert!(damaged(&folder, &mp4(&text(2, b"\0x"))).contains("UTF-8"));
    assert!(damaged(&folder, &mp4(&boxed(b"data", b"\0\0\0\x01"))).contains("type"));

    let head = boxed(b"ftyp", b"isom");
    // Sizes below the header's own, beyond the file, beyond 64 bits; one that would go back.
    for size in [2_u32, 7, 9, 1 << 31, u32::MAX] {
        assert!(damaged(&folder, &[&head, &size.to_be_bytes()[..], b"moov"].concat()).contains("moov"), "{size}");
    }
    for size in [0, 15, u64::MAX, u64::MAX - 20, 1 << 40] {
        let large = [&head, &1_u32.to_be_bytes()[..], b"free", &size.to_be_bytes()].concat();
        assert!(damaged(&folder, &large).contains("free"), "{size}");
    }
    assert!(damaged(&folder, &[&head, &1_u32.to_be_bytes()[..], b"free"].concat()).contains("cut short"));
    let many = [head.clone(), boxed(b"free", b"").repeat(20_000)].concat();
    assert!(damaged(&folder, &many).contains("boxes"));
    // A box that runs to the end of what is around it; a large one that holds all.
    assert!(damaged(&folder, &[&head, &[0; 4][..], b"free"].concat()).contains("no index"));
    assert_eq!(read(&folder, &[&head, &[0; 4][..], b"moov"].concat()).unwrap(), None);
    let inner = mp4(&text(1, b"x"))[head.len() + 8..].to_vec();
    let size = inner.len() as u64 + 16;
    let large = [&head, &1_u32.to_be_bytes()[..], b"moov", &size.to_be_bytes(), &inner].concat();
    assert_eq!(read(&folder, &large).unwrap().as_deref(), Some("x"));
}

#[test]
fn the_length_that_a_file_claims_is_not_reserved() {
    let folder = Folder::new();
    // Four GiB of nothing, told as a comment.
    let path = folder.0.join("a.mp4");
    let mut file = fs::File::create(&path).unwrap();
    let size = 1_u64 << 32;
    let mut bytes = boxed(b"ftyp", b"isom");
    for kind in [b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data"] {
        bytes.extend([&[0, 0, 0, 1], kind.as_slice()].concat());
        let rest = size - (bytes.len() as u64 - 8);
        bytes.extend(rest.to_be_bytes());
        if kind == b"meta" {
            bytes.extend([0; 4]);
        }
    }
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    file.write_all(&bytes).unwrap();
    file.set_len(size).unwrap();
    let error = read_comment(&path).unwrap_err().to_string();
    assert!(error.contains(&MAX_COMMENT.to_string()) && error.contains("a.mp4"), "{error}");
    // The same as zeros before the first box that counts: one seek.
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&boxed(b"ftyp", b"isom")).unwrap();
    file.write_all(&[&[0, 0, 0, 1], b"free".as_slice(), &(size - 12).to_be_bytes()].concat()).unwrap();
    let error = read_comment(&path).unwrap_err().to_string();
    assert!(error.contains("no index"), "{error}");
}

#[test]
fn a_gif_is_searched_up_to_its_first_frame() {
    let folder = Folder::new();
    let head = |flags: u8| [b"GIF89a\x01\0\x01\0".as_slice(), &[flags, 0, 0]].concat();
    let comment = b"\x21\xFE\x01x\0";
    assert_eq!(read(&folder, &[head(0).as_slice(), comment].concat()).unwrap().as_deref(), Some("x"));
    // A palette of 256 colours, an application's extension.
    let palette = [head(0x87).as_slice(), &[7; 768], b"\x21\xFF\x02ab\x01c\0", comment].concat();
    assert_eq!(read(&folder, &palette).unwrap().as_deref(), Some("x"));
    assert_eq!(read(&folder, &[head(0).as_slice(), b"\x2C", comment].concat()).unwrap(), None);
    assert!(damaged(&folder, &[head(0).as_slice(), b"\x07", comment].concat()).contains("0x7"));
    assert!(damaged(&folder, &[head(0).as_slice(), b"\x21\xFE\x01\xFF\0"].concat()).contains("UTF-8"));
    assert!(damaged(&folder, &[head(0).as_slice(), b"\x21\xFE\x09x"].concat()).contains("cut short"));
    let endless = [head(0).as_slice(), b"\x21\xFE", &[0xFF; 256].repeat(5000)].concat();
    assert!(damaged(&folder, &endless).contains(&MAX_COMMENT.to_string()));
    // Extensions without end are given up after some MiB.
    let endless = [head(0).as_slice(), &b"\x21\xFF\0".repeat(6 << 20)].concat();
    assert!(damaged(&folder, &endless).contains("cut short"));
}

#[cfg(feature = "png")]
#[test]
fn a_png_is_taken_at_its_chunks() {
    let folder = Folder::new();
    let png = |keyword: &str, text: String, compressed: bool, after: bool| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        let mut chunk = png::text_metadata::ITXtChunk::new(keyword, text);
        chunk.compressed = compressed;
        chunk.language_tag = "en-GB".into();
        chunk.translated_keyword = "Bemerkung".into();
        if after {
            writer.write_image_data(&[0]).unwrap();
            writer.write_text_chunk(&chunk).unwrap();
        } else {
            writer.write_text_chunk(&chunk).unwrap();
            writer.write_image_data(&[0]).unwrap();
        }
        writer.finish().unwrap();
        bytes
    };
    for after in [false, true] {
        assert_eq!(read(&folder, &png("Comment", "ünï".into(), false, after)).unwrap().as_deref(), Some("ünï"));
        assert_eq!(read(&folder, &png("Author", "ünï".into(), false, after)).unwrap(), None);
    }
    assert!(damaged(&folder, &png("Comment", "n".repeat(MAX_COMMENT + 1), false, false)).contains("1048576"));
    // Far too long: passed over as any other chunk.
    assert_eq!(read(&folder, &png("Comment", "n".repeat(MAX_COMMENT + 2000), false, false)).unwrap(), None);
    assert!(damaged(&folder, &png("Comment", "n".repeat(100 << 20), true, false)).contains("compressed"));

    let mut bytes = png("Comment", "a fox".into(), false, false);
    let at = bytes.windows(5).position(|window| window == b"a fox").unwrap();
    bytes[at] = b'b';
    assert!(damaged(&folder, &bytes).contains("checksum"));
    let head = b"\x89PNG\r\n\x1A\n".as_slice();
    assert!(damaged(&folder, head).contains("cut short"));
    assert!(damaged(&folder, &[head, &[0xFF; 8]].concat()).contains("cut short"));
    assert!(damaged(&folder, &[head, &[0; 12].repeat(2 << 20)].concat()).contains("chunks"));
    assert_eq!(read(&folder, &[head, b"\0\0\0\0IEND\xAE\x42\x60\x82"].concat()).unwrap(), None);
}
