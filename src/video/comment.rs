//! Reading back the comment that a sink has kept in a video.
//!
//! The formats of mp4 and GIF are walked by hand, so that this needs neither of their features; nothing is held in memory
//! but the comment, and a damaged file can neither make it long nor make the walk endless.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest comment, in bytes of UTF-8.
pub const MAX_COMMENT: usize = 1 << 20;

/// How much of a PNG or GIF is searched: the comment comes before the pixels.
const MAX_HEAD: u64 = 16 << 20;
/// The most boxes beside each other that are searched in an mp4.
const MAX_BOXES: usize = 10_000;

/// The comment of a video that a sink with a comment has written: of an mp4, a GIF, a PNG or animated PNG, or a folder of
/// PNG files, which is told from what the file begins with, whatever its name.
///
/// `None` if the file has no comment; a y4m never has, as there is no place for one. In a folder of PNG files the first
/// frame has it; naming any frame of the folder will do. Comments that other programs wrote in the same place are read too.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, is none of these formats, is damaged on the way to the comment, or has one that
/// is not UTF-8 or is longer than [`MAX_COMMENT`]; [`Error::Request`] for a PNG in a build without the feature `png`.
pub fn read_comment(path: &Path) -> Result<Option<String>> {
    if path.is_dir() {
        return of_file(&path.join(FIRST_FRAME));
    }
    let own = of_file(path)?;
    match first_frame(path) {
        Some(first) if own.is_none() && first.is_file() => of_file(&first),
        _ => Ok(own),
    }
}

/// The frame of a folder that has the comment.
const FIRST_FRAME: &str = "frame_00001.png";

/// The first frame beside another one, if this is named as frames are.
fn first_frame(path: &Path) -> Option<PathBuf> {
    let digits = path.file_name()?.to_str()?.strip_prefix("frame_")?.strip_suffix(".png")?;
    let is_frame = digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit());
    (is_frame && digits != "00001").then(|| path.with_file_name(FIRST_FRAME))
}

fn of_file(path: &Path) -> Result<Option<String>> {
    let cannot = |error| cannot(path, error);
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(cannot(invalid("it is neither a file nor a folder")));
    }
    let mut file = File::open(path).map_err(cannot)?;
    let mut magic = Vec::new();
    (&mut file).take(12).read_to_end(&mut magic).map_err(cannot)?;
    file.rewind().map_err(cannot)?;
    let comment = match magic.as_slice() {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => of_mp4(file),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => of_gif(BufReader::new(file.take(MAX_HEAD))),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => return of_png(file, path),
        _ if magic.starts_with(b"YUV4MPEG2 ") => Ok(None),
        _ => Err(invalid("it is no mp4, GIF, PNG or y4m")),
    };
    comment.map_err(cannot)
}

fn cannot(path: &Path, error: io::Error) -> Error {
    let error = match error.kind() {
        io::ErrorKind::UnexpectedEof => invalid("the file is cut short"),
        _ => error,
    };
    Error::io("read the comment of", path)(error)
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn text(bytes: Vec<u8>) -> io::Result<Option<String>> {
    String::from_utf8(bytes).map(Some).map_err(|_| invalid("it is not UTF-8"))
}

fn check_len(bytes: u64) -> io::Result<usize> {
    let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes <= MAX_COMMENT);
    fits.ok_or_else(|| invalid(format!("it has {bytes} bytes, the most is {MAX_COMMENT}")))
}

/// Of the box moov > udta > meta > ilst > ©cmt > data, where iTunes and FFmpeg keep it.
fn of_mp4(mut file: File) -> io::Result<Option<String>> {
    let mut within = 0..file.seek(SeekFrom::End(0))?;
    for kind in [b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data"] {
        within = match child(&mut file, within, kind)? {
            Some(found) => found,
            None if kind == b"moov" => return Err(invalid("the file is damaged or cut short: it has no index")),
            None => return Ok(None),
        };
        if kind == b"meta" {
            // Version and flags come before its boxes.
            within.start = (within.start + 4).min(within.end);
        }
    }
    let (Some(length), mut head) = ((within.end - within.start).checked_sub(8), [0; 8]) else {
        return Err(invalid("its box has no type"));
    };
    file.seek(SeekFrom::Start(within.start))?;
    file.read_exact(&mut head)?;
    // 1 is UTF-8; 0 leaves it to who reads. Then come four bytes of country and language.
    if !matches!(head[..4], [0, 0, 0, 0 | 1]) {
        return Err(invalid("it is not UTF-8"));
    }
    let mut bytes = vec![0; check_len(length)?];
    file.read_exact(&mut bytes)?;
    text(bytes)
}

/// The payload of the first box of this kind within a stretch of boxes.
fn child(file: &mut File, within: Range<u64>, kind: &[u8; 4]) -> io::Result<Option<Range<u64>>> {
    let mut at = within.start;
    // Fewer than 8 bytes at the end of user data are the zeros that QuickTime closes it with.
    for _ in 0..MAX_BOXES {
        if within.end - at < 8 {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, name @ ..] = head;
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, within.end - at),
            1 => {
                let mut large = [0; 8];
                file.read_exact(&mut large)?;
                (16, u64::from_be_bytes(large))
            }
            size => (8, size.into()),
        };
        let end = at.checked_add(size).filter(|end| size >= header && *end <= within.end);
        let Some(end) = end else {
            let kind = name.escape_ascii();
            return Err(invalid(format!("the file is damaged or cut short: its box {kind} at byte {at} does not end")));
        };
        if name == *kind {
            return Ok(Some(at + header..end));
        }
        at = end;
    }
    Err(invalid(format!("the file is damaged: more than {MAX_BOXES} boxes")))
}

/// Of the first comment extension before the first frame.
fn of_gif(mut file: impl Read) -> io::Result<Option<String>> {
    let mut head = [0; 13];
    file.read_exact(&mut head)?;
    if head[10] & 0x80 != 0 {
        skip(&mut file, 3 << ((head[10] & 7) + 1))?;
    }
    loop {
        match byte(&mut file)? {
            0x21 => {}
            // A frame, or the end.
            0x2C | 0x3B => return Ok(None),
            other => return Err(invalid(format!("the file is damaged: a block of the unknown kind {other:#x}"))),
        }
        let is_comment = byte(&mut file)? == 0xFE;
        let mut bytes = Vec::new();
        loop {
            let length = byte(&mut file)?;
            if length == 0 {
                break;
            }
            if is_comment {
                let start = bytes.len();
                bytes.resize(check_len((start + usize::from(length)) as u64)?, 0);
                file.read_exact(&mut bytes[start..])?;
            } else {
                skip(&mut file, length.into())?;
            }
        }
        if is_comment {
            return text(bytes);
        }
    }
}

fn byte(file: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn skip(file: &mut impl Read, bytes: usize) -> io::Result<()> {
    // At most a palette or a block of 255.
    file.read_exact(&mut [0; 768][..bytes])
}

/// Of the first iTXt chunk with the keyword of comments before the pixels.
#[cfg(feature = "png")]
fn of_png(file: File, path: &Path) -> Result<Option<String>> {
    let read = || {
        // Damage in a chunk of text would pass unnoticed otherwise.
        let mut options = png::DecodeOptions::default();
        options.set_skip_ancillary_crc_failures(false);
        let reader = png::Decoder::new_with_options(BufReader::new(file.take(MAX_HEAD)), options).read_info()?;
        let chunk = reader.info().utf8_text.iter().find(|chunk| chunk.keyword == super::apng::COMMENT);
        let Some(mut chunk) = chunk.cloned() else { return Ok(None) };
        chunk.decompress_text_with_limit(MAX_COMMENT)?;
        chunk.get_text().map(Some)
    };
    let comment = read().map_err(|error: png::DecodingError| match error {
        png::DecodingError::IoError(error) => error,
        other => invalid(format!("the file is damaged: {other}")),
    });
    let comment = comment.and_then(|comment| {
        comment.as_ref().map_or(Ok(0), |comment| check_len(comment.len() as u64))?;
        Ok(comment)
    });
    comment.map_err(|error| cannot(path, error))
}

/// Of a PNG, whose text may be compressed: what reads it was left out of this build.
#[cfg(not(feature = "png"))]
fn of_png(_: File, path: &Path) -> Result<Option<String>> {
    let why = format!("reading that of {} needs a build with the feature `png`", path.display());
    Err(Error::Request { what: "comment", why })
}

/// Whether a sink may keep this comment: what [`read_comment`] would not give back is refused.
pub(super) fn check(comment: Option<&str>) -> Result<()> {
    let length = comment.map_or(0, str::len);
    if length <= MAX_COMMENT {
        return Ok(());
    }
    Err(Error::Request { what: "comment", why: format!("{length} bytes, the most is {MAX_COMMENT}") })
}
