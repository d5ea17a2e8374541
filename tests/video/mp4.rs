//! H.264 in MP4: the boxes walked by the test's own code, the pictures decoded by OpenH264.

use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use zoetrope::video::{Frame, FrameRate, FrameSink, Mp4, VideoInfo};

use crate::clips::{Folder, noisy, play, refused, smooth};

fn encode(fps: impl Into<FrameRate>, frames: &[Frame], comment: Option<&str>) -> Vec<u8> {
    let folder = Folder::new();
    let path = folder.0.join("a.mp4");
    let mut sink = Mp4::create(&path, false).unwrap();
    if let Some(comment) = comment {
        sink = sink.with_comment(comment);
    }
    play(&mut sink, fps, frames).unwrap();
    std::fs::read(path).unwrap()
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

/// The boxes of a stretch: kind, where the payload begins, the payload. They must fill it.
fn boxes(bytes: &[u8]) -> Vec<([u8; 4], usize, &[u8])> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let kind = bytes[at + 4..at + 8].try_into().unwrap();
        let (head, size) = match u32_at(bytes, at) {
            1 => (16, u64::from_be_bytes(bytes[at + 8..at + 16].try_into().unwrap()) as usize),
            size => (8, size as usize),
        };
        found.push((kind, at + head, &bytes[at + head..at + size]));
        at += size;
    }
    found
}

/// The payload of the box at this path; `skip` bytes of fields come before the children of some.
fn find<'a>(mut bytes: &'a [u8], path: &[&[u8; 4]]) -> &'a [u8] {
    for kind in path {
        let found = boxes(bytes).into_iter().find(|found| found.0 == **kind);
        let (_, _, payload) = found.unwrap_or_else(|| panic!("no box {:?}", String::from_utf8_lossy(*kind)));
        let fields = match *kind {
            b"stsd" => 8,
            b"avc1" => 78,
            b"meta" => 4,
            _ => 0,
        };
        bytes = &payload[fields..];
    }
    bytes
}

/// The samples of the one track, in order.
fn samples(file: &[u8]) -> Vec<&[u8]> {
    let table = find(file, &[b"moov", b"trak", b"mdia", b"minf", b"stbl"]);
    let (sizes, chunks) = (find(table, &[b"stsz"]), find(table, &[b"stco"]));
    assert_eq!(u32_at(chunks, 4), 1, "all samples lie together");
    let mut at = u32_at(chunks, 8) as usize;
    let (mdat, start) =
        boxes(file).into_iter().find(|b| &b.0 == b"mdat").map(|(_, at, payload)| (payload, at)).unwrap();
    assert_eq!(at, start);
    let samples: Vec<&[u8]> = (0..u32_at(sizes, 8) as usize)
        .map(|i| {
            let size = u32_at(sizes, 12 + 4 * i) as usize;
            at += size;
            &file[at - size..at]
        })
        .collect();
    assert_eq!(at, start + mdat.len(), "the samples fill mdat");
    samples
}

/// Luma of each frame, decoded from what the boxes say.
fn decode(file: &[u8], width: usize, height: usize) -> Vec<Vec<u8>> {
    let entry = find(file, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]);
    let config = find(entry, &[b"avcC"]);
    // Version, profile, compatibility, level, lengths of 4 bytes, one SPS, its length.
    assert_eq!((config[0], config[4] & 3, config[5] & 31), (1, 3, 1));
    let sps_length = usize::from(u16::from_be_bytes([config[6], config[7]]));
    let (sps, rest) = config[8..].split_at(sps_length);
    assert_eq!((rest[0], sps[1..4] == config[1..4]), (1, true));
    let pps_length = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
    let mut decoder = Decoder::new().unwrap();
    let mut head = [[0, 0, 0, 1].as_slice(), sps, &[0, 0, 0, 1], &rest[3..3 + pps_length]].concat();
    let mut lumas = Vec::new();
    for sample in samples(file) {
        let (mut stream, mut rest) = (std::mem::take(&mut head), sample);
        while !rest.is_empty() {
            let length = u32_at(rest, 0) as usize;
            assert!(!matches!(rest[4] & 31, 7 | 8), "parameter sets are told once");
            stream.extend([0, 0, 0, 1]);
            stream.extend(&rest[4..4 + length]);
            rest = &rest[4 + length..];
        }
        let picture = decoder.decode(&stream).unwrap().expect("a picture for each sample");
        assert_eq!(picture.dimensions(), (width, height));
        let rows = picture.y().chunks(picture.strides().0).take(height);
        lumas.push(rows.flat_map(|row| &row[..width]).copied().collect());
    }
    lumas
}

/// Luma of BT.709 in the limited range, before rounding.
fn luma(frame: &Frame) -> impl Iterator<Item = f64> {
    let of = |&[r, g, b]: &[u8; 3]| 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b);
    frame.rgb().as_chunks::<3>().0.iter().map(move |pixel| 16.0 + 219.0 / 255.0 * of(pixel))
}

#[test]
fn luma_comes_back_within_40_db() {
    for (name, clip, least) in [("smooth", smooth as fn(usize, usize, usize) -> Frame, 45.0), ("noisy", noisy, 40.0)] {
        let frames: Vec<Frame> = (0..17).map(|t| clip(208, 112, t)).collect();
        let file = encode(16, &frames, None);
        let decoded = decode(&file, 208, 112);
        assert_eq!(decoded.len(), frames.len());
        for (t, (frame, back)) in frames.iter().zip(&decoded).enumerate() {
            let error: f64 = luma(frame).zip(back).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum();
            let psnr = 10.0 * (255.0_f64.powi(2) * back.len() as f64 / error).log10();
            assert!(psnr >= least, "{name}, frame {t}: {psnr:.1} dB");
        }
    }
}

#[test]
fn the_boxes_say_what_the_video_is() {
    let frames: Vec<Frame> = (0..40).map(|t| smooth(64, 48, t)).collect();
    let file = encode(16, &frames, Some("a fox, ünï"));
    let kinds: Vec<[u8; 4]> = boxes(&file).into_iter().map(|found| found.0).collect();
    assert_eq!(kinds, [*b"ftyp", *b"moov", *b"free", *b"mdat"], "the index comes first");
    let track = find(&file, &[b"moov", b"trak"]);
    let media = find(track, &[b"mdia", b"mdhd"]);
    let (timescale, duration) = (u32_at(media, 12), u32_at(media, 16));
    assert_eq!(duration, timescale / 16 * 40);
    let table = find(track, &[b"mdia", b"minf", b"stbl"]);
    let times = find(table, &[b"stts"]);
    assert_eq!((u32_at(times, 4), u32_at(times, 8), u32_at(times, 12)), (1, 40, timescale / 16));
    // A key frame every two seconds.
    let keys = find(table, &[b"stss"]);
    assert_eq!((u32_at(keys, 4), u32_at(keys, 8), u32_at(keys, 12)), (2, 1, 33));
    let entry = find(table, &[b"stsd"]);
    let fields = boxes(entry)[0].2;
    assert_eq!([fields[24], fields[25], fields[26], fields[27]], [0, 64, 0, 48]);
    assert_eq!(find(entry, &[b"avc1", b"colr"]), b"nclx\0\x01\0\x01\0\x01\0");
    let comment = find(&file, &[b"moov", b"udta", b"meta", b"ilst", b"\xa9cmt", b"data"]);
    assert_eq!(comment, [b"\0\0\0\x01\0\0\0\0", "a fox, ünï".as_bytes()].concat());
}

#[test]
fn the_same_frames_make_the_same_bytes() {
    let frames: Vec<Frame> = (0..9).map(|t| noisy(96, 64, t)).collect();
    assert_eq!(encode(24, &frames, Some("x")), encode(24, &frames, Some("x")));
    assert!(!encode(24, &frames, None).windows(4).any(|kind| kind == b"udta"));
}

#[test]
fn a_cut_is_coded_as_well_as_the_rest() {
    let frames: Vec<Frame> = (0..6).map(|t| if t < 3 { smooth(96, 64, t) } else { noisy(96, 64, 60 + t) }).collect();
    let decoded = decode(&encode(16, &frames, None), 96, 64);
    for (frame, back) in frames.iter().zip(&decoded) {
        let error: f64 = luma(frame).zip(back).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum();
        assert!(10.0 * (255.0_f64.powi(2) * back.len() as f64 / error).log10() >= 40.0);
    }
}

#[test]
fn odd_small_and_large_rates_and_sizes() {
    for (width, height, fps) in [(16, 16, 1), (18, 34, 16), (16, 500, 7), (640, 16, 240)] {
        let frames: Vec<Frame> = (0..3).map(|t| smooth(width, height, t)).collect();
        let file = encode(fps, &frames, None);
        assert_eq!(decode(&file, width, height).len(), 3, "{width}x{height}");
        let media = find(&file, &[b"moov", b"trak", b"mdia", b"mdhd"]);
        assert_eq!(u64::from(u32_at(media, 16)) * u64::from(fps), 3 * u64::from(u32_at(media, 12)), "{fps} fps");
    }
    // A rate that is not whole is exact: 1001 ticks of 24000 a second for each frame.
    let film = FrameRate::new(24_000, 1001).unwrap();
    let file = encode(film, &[smooth(16, 16, 0), smooth(16, 16, 1)], None);
    let media = find(&file, &[b"moov", b"trak", b"mdia", b"mdhd"]);
    assert_eq!([u32_at(media, 12), u32_at(media, 16)], [24_000, 2002]);
    let folder = Folder::new();
    let sink = Mp4::create(&folder.0.join("a.mp4"), false).unwrap();
    for (width, height, nearest) in
        [(17, 16, "18x16"), (832, 479, "832x480"), (8, 8, "16x16"), (3842, 16, "3840x2160"), (2162, 2162, "2160x3840")]
    {
        let why = refused(sink.check(&VideoInfo { width, height, fps: 16.into(), frames: 1 }), "size");
        assert!(why.contains(nearest), "{why}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_before_anything_is_made() {
    let (reader, writer) = std::io::pipe().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
    let path = format!("/dev/fd/{fd}");
    if std::path::Path::new(&path).exists() {
        assert!(refused(Mp4::create(path.as_ref(), false).map(drop), "output").contains("pipe"));
    }
    drop(reader);
}
