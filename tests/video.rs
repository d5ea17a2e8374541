//! Every format through the public door: what is written can be read back, by other code than wrote it.

#[path = "video/clips.rs"]
mod clips;
#[path = "video/comment.rs"]
mod comment;
#[cfg(target_os = "linux")]
#[path = "video/faults.rs"]
mod faults;
#[cfg(feature = "gif")]
#[path = "video/gif.rs"]
mod gif_format;
#[cfg(feature = "mp4")]
#[path = "video/mp4.rs"]
mod mp4_format;
#[path = "video/play.rs"]
mod play_clips;
#[cfg(feature = "png")]
#[path = "video/png.rs"]
mod png_format;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use clips::{Folder, noisy, play, refused, smooth};
use zoetrope::video::{self, Frame, FrameSink, SinkOptions, VideoInfo, Y4m, Zoom};
use zoetrope::{Error, Result};

fn open(path: &Path) -> Result<Box<dyn FrameSink>> {
    video::open(path, SinkOptions::default())
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_dash_is_y4m_to_the_stream_that_was_given() {
    let stream = Shared::default();
    let options = SinkOptions { stdout: Some(Box::new(stream.clone())), ..SinkOptions::default() };
    play(&mut video::open(Path::new("-"), options).unwrap(), 16, &[smooth(16, 16, 0)]).unwrap();
    assert!(stream.0.lock().unwrap().starts_with(b"YUV4MPEG2 W16 H16 F16:1 "));
    assert!(refused(open(Path::new("-")).map(drop), "output").contains("stream"));
}

#[test]
fn the_ending_chooses_the_format() {
    let folder = Folder::new();
    for ending in video::formats() {
        match ending {
            "-" => continue,
            "/" => play(&mut open(&folder.0.join("frames/")).unwrap(), 16, &[noisy(16, 16, 0)]).unwrap(),
            ending => {
                let path = folder.0.join(format!("A{}", ending.to_uppercase()));
                play(&mut open(&path).unwrap(), 16, &[noisy(16, 16, 0)]).unwrap();
                let magic: &[u8] = match ending {
                    ".mp4" => b"\0\0\0\x20ftypisom",
                    ".gif" => b"GIF89a",
                    ".y4m" => b"YUV4MPEG2",
                    _ => b"\x89PNG\r\n",
                };
                assert!(std::fs::read(&path).unwrap().starts_with(magic), "{ending}");
                // Not again without force.
                assert!(refused(open(&path).map(drop), "output").contains("exists"), "{ending}");
                drop(video::open(&path, SinkOptions { force: true, ..SinkOptions::default() }).unwrap());
                assert!(std::fs::read(&path).unwrap().starts_with(magic), "{ending}");
            }
        }
    }
    assert!(folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
}

#[test]
fn other_endings_are_told_what_can_be_written() {
    let folder = Folder::new();
    for name in ["a.avi", "a", "a.mp4.bak", ".y4m"] {
        let why = refused(open(&folder.0.join(name)).map(drop), "output");
        assert!(why.contains(".y4m") && why.contains(name), "{why}");
    }
    for (name, feature, here) in [
        ("a.mp4", "mp4", cfg!(feature = "mp4")),
        ("a.gif", "gif", cfg!(feature = "gif")),
        ("a.png", "png", cfg!(feature = "png")),
        ("a/", "png", cfg!(feature = "png")),
    ] {
        if !here {
            let why = refused(open(&folder.0.join(name)).map(drop), "output");
            assert!(why.contains(&format!("feature `{feature}`")) && why.contains(".y4m"), "{why}");
        }
    }
    assert!(folder.names().is_empty());
}

#[test]
fn a_sink_that_is_dropped_leaves_nothing() {
    let folder = Folder::new();
    for ending in video::formats().into_iter().filter(|ending| *ending != "-") {
        let mut sink = open(&folder.0.join(format!("a{ending}"))).unwrap();
        sink.start(&VideoInfo { width: 16, height: 16, fps: 16.into(), frames: 2 }).unwrap();
        sink.frame(&noisy(16, 16, 0)).unwrap();
        assert!(matches!(sink.finish(), Err(Error::Request { what: "frames", .. })), "{ending}");
        drop(sink);
        assert!(folder.names().is_empty(), "{ending}");
    }
}

#[test]
fn zoom_repeats_pixels() {
    let frame = Frame::new(2, 2, (0..12).collect()).unwrap();
    let mut kept: Vec<Frame> = Vec::new();
    struct Into<'a>(&'a mut Vec<Frame>);
    impl FrameSink for Into<'_> {
        fn start(&mut self, info: &VideoInfo) -> Result<()> {
            assert_eq!((info.width, info.height, info.frames), (6, 6, 1));
            self.0.start(info)
        }
        fn frame(&mut self, frame: &Frame) -> Result<()> {
            self.0.frame(frame)
        }
        fn finish(&mut self) -> Result<()> {
            Ok(())
        }
    }
    play(&mut Zoom::new(Into(&mut kept), 3).unwrap(), 16, std::slice::from_ref(&frame)).unwrap();
    assert_eq!((kept[0].width(), kept[0].height()), (6, 6));
    for (i, pixel) in kept[0].rgb().as_chunks::<3>().0.iter().enumerate() {
        let from = i / 6 / 3 * 2 + i % 6 / 3;
        assert_eq!(pixel[..], frame.rgb()[3 * from..3 * from + 3], "pixel {i}");
    }
    assert!(refused(Zoom::new(Vec::new(), 0).map(drop), "zoom").contains('0'));
    let mut far = Zoom::new(Y4m::stream(io::sink(), "-"), usize::MAX).unwrap();
    let info = VideoInfo { width: 3, height: 3, fps: 1.into(), frames: 1 };
    assert!(refused(far.check(&info), "size").contains("65535"));
    assert!(refused(far.start(&info), "size").contains("65535"));
}
