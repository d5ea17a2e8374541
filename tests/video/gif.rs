//! Animated GIF, read by the decoder of the crate `gif`.

use zoetrope::video::{Frame, FrameRate, FrameSink, Gif, VideoInfo};

use crate::clips::{Folder, noisy, play, refused, smooth};

struct Decoded {
    size: (u16, u16),
    repeat: gif::Repeat,
    delays: Vec<u16>,
    frames: Vec<Vec<u8>>,
}

fn decode(bytes: &[u8]) -> Decoded {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut reader = options.read_info(bytes).unwrap();
    let (mut delays, mut frames) = (Vec::new(), Vec::new());
    while let Some(frame) = reader.read_next_frame().unwrap() {
        delays.push(frame.delay);
        frames.push(frame.buffer.as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect());
    }
    Decoded { size: (reader.width(), reader.height()), repeat: reader.repeat(), delays, frames }
}

fn encode(fps: impl Into<FrameRate>, frames: &[Frame], comment: Option<&str>) -> Vec<u8> {
    let folder = Folder::new();
    let path = folder.0.join("a.gif");
    let mut sink = Gif::create(&path, false).unwrap();
    if let Some(comment) = comment {
        sink = sink.with_comment(comment);
    }
    play(&mut sink, fps, frames).unwrap();
    std::fs::read(path).unwrap()
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / error).log10()
}

#[test]
fn frames_come_back_near() {
    for (name, clip) in [("smooth", smooth as fn(usize, usize, usize) -> Frame), ("noisy", noisy)] {
        let frames: Vec<Frame> = (0..5).map(|t| clip(161, 90, t)).collect();
        let decoded = decode(&encode(16, &frames, None));
        assert_eq!((decoded.size, decoded.frames.len()), ((161, 90), 5));
        assert_eq!(decoded.repeat, gif::Repeat::Infinite);
        for (frame, back) in frames.iter().zip(&decoded.frames) {
            let psnr = psnr(frame.rgb(), back);
            assert!(psnr >= 29.0, "{name}: {psnr:.1} dB");
        }
    }
}

#[test]
fn few_colours_come_back_exactly() {
    let pixels: Vec<u8> = (0..64 * 64_u32).flat_map(|i| [(i % 16 * 17) as u8, (i / 64 % 16) as u8, 255]).collect();
    let frame = Frame::new(64, 64, pixels).unwrap();
    assert_eq!(decode(&encode(16, std::slice::from_ref(&frame), None)).frames, [frame.rgb()]);
}

#[test]
fn the_whole_lasts_as_long_as_it_should() {
    for (fps, expected) in [(16, [6, 7, 6, 6, 6, 7, 6, 6]), (25, [4; 8]), (50, [2; 8]), (1, [100; 8])] {
        let frames: Vec<Frame> = (0..8).map(|t| smooth(8, 8, t)).collect();
        assert_eq!(decode(&encode(fps, &frames, None)).delays, expected, "{fps} fps");
    }
    // 24000/1001: frames begin at 0, 4.17, 8.34, ... hundredths of a second.
    let film = FrameRate::new(24_000, 1001).unwrap();
    let frames: Vec<Frame> = (0..8).map(|t| smooth(8, 8, t)).collect();
    assert_eq!(decode(&encode(film, &frames, None)).delays, [4, 4, 5, 4, 4, 4, 4, 4]);
    let folder = Folder::new();
    let sink = Gif::create(&folder.0.join("a.gif"), false).unwrap();
    let info = VideoInfo { width: 8, height: 8, fps: 51.into(), frames: 1 };
    assert!(refused(sink.check(&info), "fps").contains("50"));
}

#[test]
fn the_comment_is_in_its_extension() {
    let comment = "ünï ".repeat(100);
    let bytes = encode(16, &[smooth(8, 8, 0)], Some(&comment));
    let start = bytes.windows(2).position(|pair| pair == [0x21, 0xFE]).unwrap() + 2;
    let (mut rest, mut found) = (&bytes[start..], Vec::<u8>::new());
    while rest[0] > 0 {
        let (block, after) = rest[1..].split_at(rest[0].into());
        found.extend(block);
        rest = after;
    }
    assert_eq!(found, comment.as_bytes());
    assert_eq!(decode(&bytes).frames.len(), 1);
}
