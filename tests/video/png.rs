//! Animated PNG and folders of PNG files, read by the decoder of the crate `png`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zoetrope::video::{Apng, Frame, FrameSink, PngFolder, VideoInfo};

use crate::clips::{Folder, noisy, play, refused};

type Reader = png::Reader<BufReader<File>>;

fn reader(path: &Path) -> Reader {
    png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap()
}

fn comment(reader: &Reader) -> Option<String> {
    let text = reader.info().utf8_text.iter().find(|text| text.keyword == "Comment")?;
    Some(text.get_text().unwrap())
}

#[test]
fn an_animated_png_comes_back_exactly() {
    let folder = Folder::new();
    let path = folder.0.join("a.png");
    let frames: Vec<Frame> = (0..4).map(|t| noisy(33, 17, t)).collect();
    play(&mut Apng::create(&path, false).unwrap().with_comment("a fox, ünï"), 24, &frames).unwrap();
    let mut reader = reader(&path);
    let control = reader.info().animation_control.unwrap();
    assert_eq!((control.num_frames, control.num_plays), (4, 0));
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    for frame in &frames {
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (33, 17));
        let control = reader.info().frame_control.unwrap();
        assert_eq!((control.delay_num, control.delay_den), (1, 24));
        assert_eq!(pixels, frame.rgb());
    }
    assert!(reader.next_frame(&mut pixels).is_err(), "there is no fifth");
    assert_eq!(comment(&reader).as_deref(), Some("a fox, ünï"));
}

#[test]
fn rates_that_the_format_cannot_hold_are_refused() {
    let folder = Folder::new();
    let sink = Apng::create(&folder.0.join("a.png"), false).unwrap();
    let info = VideoInfo { width: 8, height: 8, fps: 70_000.into(), frames: 1 };
    assert!(refused(sink.check(&info), "fps").contains("65535"));
}

#[test]
fn the_first_png_of_a_folder_has_the_comment() {
    let folder = Folder::new();
    let path = folder.0.join("frames");
    let frames: Vec<Frame> = (0..2).map(|t| noisy(8, 8, t)).collect();
    play(&mut PngFolder::create(&path, false).unwrap().with_comment("a fox"), 16, &frames).unwrap();
    assert_eq!(comment(&reader(&path.join("frame_00001.png"))).as_deref(), Some("a fox"));
    assert_eq!(comment(&reader(&path.join("frame_00002.png"))), None);
    let sink = PngFolder::create(&folder.0.join("more"), false).unwrap();
    let info = VideoInfo { width: 8, height: 8, fps: 16.into(), frames: 100_000 };
    assert!(refused(sink.check(&info), "frames").contains("99999"));
}
