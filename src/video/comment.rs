//! Reading back the comment that a sink has kept in a video.
//!
//! The files are walked by hand, so that this needs none of the formats' features; nothing is held in memory but the
//! comment, and a damaged file can neither make it long nor make the walk endless.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest comment, in bytes of UTF-8.
pub const MAX_COMMENT: usize = 1 << 20;

/// How much of a GIF is searched: the comment comes before the frames.
const MAX_HEAD: u64 = 16 << 20;
/// The most chunks of a PNG that are searched: more than a frame has.
const MAX_CHUNKS: usize = 1 << 20;
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
/// is not UTF-8, is longer than [`MAX_COMMENT`] or (other programs' alone) is compressed.
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
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => of_png(file),
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

/// Of the first iTXt chunk with the keyword of comments, uncompressed as the sinks write it.
fn of_png(mut file: File) -> io::Result<Option<String>> {
    file.seek(SeekFrom::Start(8))?;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [a, b, c, d, kind @ ..] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        if kind == *b"IEND" {
            return Ok(None);
        }
        let mut rest = i64::from(length) + 4;
        // After the keyword come two flags, language and translated keyword: never longer than this.
        if kind == *b"iTXt" && (8..=MAX_COMMENT + 1024).contains(&(length as usize)) {
            let mut chunk = [&kind, [0; 8].as_slice()].concat();
            file.read_exact(&mut chunk[4..])?;
            rest -= 8;
            if chunk.ends_with(b"Comment\0") {
                chunk.resize(4 + length as usize, 0);
                file.read_exact(&mut chunk[12..])?;
                let mut check = [0; 4];
                file.read_exact(&mut check)?;
                if crc32(&chunk) != u32::from_be_bytes(check) {
                    return Err(invalid("the file is damaged: a checksum does not match"));
                }
                return of_itxt(&chunk[12..]);
            }
        }
        file.seek(SeekFrom::Current(rest))?;
    }
    Err(invalid(format!("the file is damaged: more than {MAX_CHUNKS} chunks")))
}

/// Of what follows the keyword: whether it is compressed, how; language, translated keyword, text.
fn of_itxt(rest: &[u8]) -> io::Result<Option<String>> {
    let Some(rest) = rest.strip_prefix(&[0, 0]) else {
        return Err(invalid("it is compressed, which is not read here"));
    };
    let Some(comment) = rest.splitn(3, |byte| *byte == 0).nth(2) else {
        return Err(invalid("the file is damaged: a chunk of text has no text"));
    };
    check_len(comment.len() as u64)?;
    text(comment.to_vec())
}

/// The checksum of PNG (ISO 3309): of short texts, so bit by bit will do.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

/// Whether a sink may keep this comment: what [`read_comment`] would not give back is refused.
pub(super) fn check(comment: Option<&str>) -> Result<()> {
    let length = comment.map_or(0, str::len);
    if length <= MAX_COMMENT {
        return Ok(());
    }
    Err(Error::Request { what: "comment", why: format!("{length} bytes, the most is {MAX_COMMENT}") })
}
