use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// A folder of its own for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("zoetrope-video-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A stream whose bytes the test can read, and which breaks after so many.
#[derive(Clone)]
struct Shared(Arc<Mutex<Vec<u8>>>, usize);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap();
        if all.len() + bytes.len() > self.1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn y4m_bytes(info: VideoInfo, frames: &[Frame]) -> Vec<u8> {
    let shared = Shared(Arc::default(), usize::MAX);
    let mut sink = Y4m::stream(shared.clone(), "-");
    play(&mut sink, info, frames).unwrap();
    shared.0.lock().unwrap().clone()
}

fn play(sink: &mut dyn FrameSink, info: VideoInfo, frames: &[Frame]) -> Result<()> {
    sink.start(&VideoInfo { frames: frames.len(), ..info })?;
    frames.iter().try_for_each(|frame| sink.frame(frame))?;
    sink.finish()
}

const TINY: VideoInfo = VideoInfo { width: 2, height: 2, fps: FrameRate::whole(16), frames: 1 };

fn tiny(level: u8) -> Frame {
    Frame::new(2, 2, vec![level; 12]).unwrap()
}

fn is_request(result: Result<()>, field: &str) -> bool {
    matches!(result, Err(Error::Request { what, .. }) if what == field)
}

#[test]
fn pixels_round_as_diffusers_rounds_them() {
    // The last three are exact halves, 64.5, 65.5 and 200.5, which go to the even side.
    let values = [-1.0, 1.0, 0.0, -7.0, 7.0, 0.57, 0.33, -0.99, 0.999, -0.494_117_6, -0.486_274_45, 0.572_549];
    let levels: Vec<f32> = values.iter().map(|x: &f32| (x * 0.5 + 0.5) * 255.0).collect();
    assert_eq!(levels[9..], [64.5, 65.5, 200.5]);
    let frame = Frame::from_signed(4, 1, &values).unwrap();
    // What diffusers 0.42.1 answers.
    assert_eq!(frame.rgb(), [0, 255, 128, 0, 255, 200, 170, 1, 255, 64, 66, 200]);
}

#[test]
fn frames_of_wrong_length_or_without_numbers_are_refused() {
    assert!(matches!(Frame::new(2, 2, vec![0; 11]), Err(Error::Shape { op: "frame", .. })));
    assert!(matches!(Frame::new(usize::MAX, 2, vec![0; 6]), Err(Error::Shape { .. })));
    assert!(matches!(Frame::from_signed(1, 1, &[0.0; 4]), Err(Error::Shape { .. })));
    for bad in [f32::NAN, f32::INFINITY] {
        assert!(matches!(Frame::from_signed(1, 1, &[0.0, bad, 0.0]), Err(Error::NotFinite { .. })));
    }
}

#[test]
fn a_y4m_of_two_frames_has_these_bytes() {
    // Red, green; blue, white.
    let first = Frame::new(2, 2, vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]).unwrap();
    let mut expected = b"YUV4MPEG2 W2 H2 F16:1 Ip A1:1 C444 XCOLORRANGE=LIMITED\n".to_vec();
    expected.extend(b"FRAME\n");
    expected.extend([81, 145, 41, 235, 90, 54, 240, 128, 240, 34, 110, 128]);
    expected.extend(b"FRAME\n");
    expected.extend([16, 16, 16, 16, 128, 128, 128, 128, 128, 128, 128, 128]);
    assert_eq!(y4m_bytes(TINY, &[first, tiny(0)]), expected);
}

#[test]
fn odd_sizes_need_no_padding() {
    let frame = Frame::new(3, 1, vec![255, 255, 255, 0, 0, 255, 128, 128, 128]).unwrap();
    let mut expected = b"YUV4MPEG2 W3 H1 F24:1 Ip A1:1 C444 XCOLORRANGE=LIMITED\nFRAME\n".to_vec();
    expected.extend([235, 41, 126, 128, 240, 128, 128, 110, 128]);
    assert_eq!(y4m_bytes(VideoInfo { width: 3, height: 1, fps: 24.into(), frames: 1 }, &[frame]), expected);
}

#[test]
fn rates_that_are_not_whole_are_exact() {
    let film = VideoInfo { fps: FrameRate::new(24_000, 1001).unwrap(), ..TINY };
    assert!(y4m_bytes(film, &[tiny(0)]).starts_with(b"YUV4MPEG2 W2 H2 F24000:1001 "));
    #[cfg(feature = "png")]
    {
        let folder = Folder::new();
        let path = folder.0.join("a.png");
        play(&mut Apng::create(&path, false).unwrap(), film, &[tiny(0), tiny(1)]).unwrap();
        let bytes = fs::read(path).unwrap();
        let at = bytes.windows(4).position(|kind| kind == b"fcTL").unwrap() + 4;
        // Sequence, width, height, two offsets, then the delay's numerator and denominator.
        assert_eq!(bytes[at + 20..at + 24], [1001_u16.to_be_bytes(), 24_000_u16.to_be_bytes()].concat());
    }
}

/// The hidden name is longer than the file's own, which may be as long as names can be; two long names that begin alike do
/// not meet.
#[test]
fn names_may_be_as_long_as_the_system_takes() {
    let folder = Folder::new();
    for (length, fill) in [(255, "a"), (240, "a"), (255, "é")] {
        let stem = |last: &str| format!("{}{last}.y4m", fill.repeat((length - 5) / fill.len()));
        let [first, second] = ["1", "2"].map(|last| folder.0.join(stem(last)));
        let mut sinks = [&first, &second].map(|path| Y4m::create(path, false).unwrap());
        sinks.iter_mut().for_each(|sink| play(sink, TINY, &[tiny(1)]).unwrap());
        assert!(first.is_file() && second.is_file());
        // What a killed run left under a long name is found again.
        drop(Y4m::create(&first, true).unwrap());
    }
    assert_eq!(folder.names().len(), 6, "{:?}", folder.names());
    let long = folder.0.join(format!("{}.y4m", "a".repeat(252)));
    let error = Y4m::create(&long, false).map(drop).unwrap_err().to_string();
    assert!(error.contains("choose a shorter name"), "{error}");
    assert_eq!(folder.names().len(), 6);
}

#[test]
fn high_definition_takes_its_own_matrix() {
    let red = Frame::new(1280, 1, [255, 0, 0].repeat(1280)).unwrap();
    let bytes = y4m_bytes(VideoInfo { width: 1280, height: 1, fps: 16.into(), frames: 1 }, &[red]);
    let planes = &bytes[bytes.len() - 3 * 1280..];
    assert_eq!([planes[0], planes[1280], planes[2 * 1280]], [63, 102, 240]);
}

#[test]
fn what_a_killed_run_left_goes_and_what_another_run_writes_stays() {
    let folder = Folder::new();
    let path = folder.0.join("a.y4m");
    let left = folder.0.join(".a.y4m.partial-999999999-0");
    fs::write(&left, "half a video").unwrap();
    fs::write(folder.0.join(".b.y4m.partial-999999999-0"), "of another video").unwrap();
    let mut running = Y4m::create(&path, true).unwrap();
    assert!(!left.exists());
    running.start(&TINY).unwrap();
    let second = Y4m::create(&path, true).unwrap();
    assert_eq!(folder.names().len(), 3, "{:?}", folder.names());
    drop(second);
    running.frame(&tiny(9)).unwrap();
    running.finish().unwrap();
    assert_eq!(folder.names(), [".b.y4m.partial-999999999-0", "a.y4m"]);
}

#[test]
fn a_y4m_file_appears_when_it_is_complete() {
    let folder = Folder::new();
    let path = folder.0.join("a.y4m");
    let mut sink = Y4m::create(&path, false).unwrap();
    sink.start(&TINY).unwrap();
    sink.frame(&tiny(9)).unwrap();
    assert_eq!(folder.names().len(), 1);
    assert!(folder.names()[0].starts_with(".a.y4m.partial-"));
    sink.finish().unwrap();
    assert_eq!(folder.names(), ["a.y4m"]);
    assert_eq!(fs::read(&path).unwrap(), y4m_bytes(TINY, &[tiny(9)]));

    // Not again without force; with it, the old file stays until the new one is complete.
    let old = fs::read(&path).unwrap();
    assert!(is_request(Y4m::create(&path, false).map(drop), "output"));
    let mut sink = Y4m::create(&path, true).unwrap();
    sink.start(&TINY).unwrap();
    assert_eq!(fs::read(&path).unwrap(), old);
    drop(sink);
    assert_eq!(folder.names(), ["a.y4m"]);
    play(&mut Y4m::create(&path, true).unwrap(), TINY, &[tiny(1), tiny(2)]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), y4m_bytes(TINY, &[tiny(1), tiny(2)]));
}

#[test]
fn a_finished_y4m_is_not_lost_when_its_name_is_taken() {
    let folder = Folder::new();
    let path = folder.0.join("a.y4m");
    let (mut first, mut second) = (Y4m::create(&path, false).unwrap(), Y4m::create(&path, false).unwrap());
    play(&mut first, TINY, &[tiny(1)]).unwrap();
    assert!(is_request(play(&mut second, TINY, &[tiny(2)]), "output"));
    assert_eq!(fs::read(&path).unwrap(), y4m_bytes(TINY, &[tiny(1)]));
    assert_eq!(fs::read(folder.0.join(&folder.names()[0])).unwrap(), y4m_bytes(TINY, &[tiny(2)]));
}

#[test]
fn a_y4m_needs_a_place() {
    let folder = Folder::new();
    assert!(is_request(Y4m::create(&folder.0, true).map(drop), "output"));
    let nowhere = folder.0.join("missing").join("a.y4m");
    assert!(matches!(Y4m::create(&nowhere, true), Err(Error::Io { path, .. }) if path == nowhere));
}

#[cfg(unix)]
#[test]
fn links_and_devices_are_not_replaced() {
    let folder = Folder::new();
    let (link, file) = (folder.0.join("link.y4m"), folder.0.join("file.y4m"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(is_request(Y4m::create(&link, false).map(drop), "output"), "a link that leads nowhere is in the way");
    fs::write(&file, "old").unwrap();
    play(&mut Y4m::create(&link, true).unwrap(), TINY, &[tiny(1)]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&file).unwrap(), y4m_bytes(TINY, &[tiny(1)]));

    play(&mut Y4m::create(Path::new("/dev/null"), false).unwrap(), TINY, &[tiny(1)]).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_stream_that_breaks_is_a_typed_error() {
    let mut sink = Y4m::stream(Shared(Arc::default(), 100_000), "-");
    let info = VideoInfo { width: 100, height: 100, fps: 16.into(), frames: 5 };
    let frame = Frame::new(100, 100, vec![7; 30_000]).unwrap();
    let error = play(&mut sink, info, &vec![frame; 5]).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path == Path::new("-")), "{error}");
    assert!(is_request(sink.finish(), "frame sink"), "what is broken is not finished");
}

/// What every writing sink must refuse.
fn misuse(mut sink: impl FrameSink) {
    assert!(is_request(sink.frame(&tiny(0)), "frame sink"));
    assert!(is_request(sink.start(&VideoInfo { width: 0, ..TINY }), "size"));
    assert!(is_request(sink.start(&VideoInfo { height: 1 << 20, ..TINY }), "size"));
    assert!(is_request(sink.start(&VideoInfo { fps: 0.into(), ..TINY }), "fps"));
    assert!(is_request(sink.start(&VideoInfo { frames: 0, ..TINY }), "frames"));
    sink.start(&TINY).unwrap();
    assert!(is_request(sink.start(&TINY), "frame sink"));
    assert!(is_request(sink.frame(&Frame::new(1, 1, vec![0; 3]).unwrap()), "frame"));
    assert!(is_request(sink.finish(), "frames"), "a frame is missing");
    sink.frame(&tiny(0)).unwrap();
    assert!(is_request(sink.frame(&tiny(0)), "frames"), "one was announced");
    sink.finish().unwrap();
    assert!(is_request(sink.frame(&tiny(0)), "frame sink"));
    assert!(is_request(sink.finish(), "frame sink"));
}

#[test]
fn calls_out_of_order_are_refused() {
    let folder = Folder::new();
    misuse(Y4m::stream(io::sink(), "-"));
    misuse(Y4m::create(&folder.0.join("a.y4m"), false).unwrap());
    assert!(is_request(Y4m::stream(io::sink(), "-").finish(), "frame sink"));
    #[cfg(feature = "png")]
    {
        misuse(PngFolder::create(&folder.0.join("frames"), false).unwrap());
        misuse(Apng::create(&folder.0.join("a.png"), false).unwrap());
    }
    #[cfg(feature = "gif")]
    misuse(Gif::create(&folder.0.join("a.gif"), false).unwrap());
}

#[test]
fn frames_can_be_kept_or_dropped() {
    let mut kept = Vec::new();
    play(&mut kept, TINY, &[tiny(1), tiny(2)]).unwrap();
    assert_eq!(kept, [tiny(1), tiny(2)]);
    play(&mut NullSink, TINY, &[tiny(1)]).unwrap();
}

#[cfg(feature = "png")]
mod png_folder {
    use super::*;

    fn decode(path: &Path) -> Frame {
        let mut reader = ::png::Decoder::new(io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (::png::ColorType::Rgb, ::png::BitDepth::Eight));
        Frame::new(info.width as usize, info.height as usize, pixels).unwrap()
    }

    #[test]
    fn frames_become_numbered_files() {
        let folder = Folder::new();
        let path = folder.0.join("frames");
        let picture = Frame::new(5, 3, (0..45).map(|x| x * 5).collect()).unwrap();
        let mut sink = PngFolder::create(&path, false).unwrap();
        sink.start(&VideoInfo { width: 5, height: 3, fps: 16.into(), frames: 11 }).unwrap();
        for _ in 0..11 {
            sink.frame(&picture).unwrap();
        }
        assert!(names(&path).iter().all(|name| name.starts_with('.')), "nothing is there before it is complete");
        sink.finish().unwrap();
        let names = names(&path);
        assert_eq!((names.len(), &*names[0], &*names[10]), (11, "frame_00001.png", "frame_00011.png"));
        assert_eq!(decode(&path.join("frame_00007.png")), picture);
    }

    #[test]
    fn what_a_killed_run_left_is_no_reason_to_refuse() {
        let folder = Folder::new();
        let path = folder.0.join("frames");
        let left = path.join(".partial-999999999-0");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join(".lock"), "").unwrap();
        fs::write(left.join("frame_00001.png"), "half a frame").unwrap();
        let running = PngFolder::create(&path, false).unwrap();
        assert!(!left.exists());
        assert!(PngFolder::create(&path, false).is_err(), "the folder is in use");
        drop(running);
        assert!(names(&path).is_empty());
    }

    #[test]
    fn a_dropped_sink_leaves_what_it_found() {
        let folder = Folder::new();
        let path = folder.0.join("frames");
        let mut sink = PngFolder::create(&path, false).unwrap();
        sink.start(&TINY).unwrap();
        sink.frame(&tiny(1)).unwrap();
        drop(sink);
        assert!(folder.names().is_empty());
        fs::create_dir(&path).unwrap();
        drop(PngFolder::create(&path, false).unwrap());
        assert_eq!(folder.names(), ["frames"]);
    }

    #[test]
    fn force_replaces_frames_and_nothing_else() {
        let folder = Folder::new();
        for name in ["frame_00001.png", "frame_00003.png", "frame_3.png", "frame_000003.png", "notes.txt"] {
            fs::write(folder.0.join(name), "old").unwrap();
        }
        assert!(is_request(PngFolder::create(&folder.0, false).map(drop), "output"));
        play(&mut PngFolder::create(&folder.0, true).unwrap(), TINY, &[tiny(1), tiny(2)]).unwrap();
        let expected = ["frame_000003.png", "frame_00001.png", "frame_00002.png", "frame_3.png", "notes.txt"];
        assert_eq!(folder.names(), expected);
        assert_eq!(decode(&folder.0.join("frame_00001.png")), tiny(1));
    }

    #[test]
    fn a_folder_needs_a_place() {
        let folder = Folder::new();
        let file = folder.0.join("file");
        fs::write(&file, "").unwrap();
        assert!(is_request(PngFolder::create(&file, true).map(drop), "output"));
        let nowhere = folder.0.join("missing").join("frames");
        assert!(matches!(PngFolder::create(&nowhere, false), Err(Error::Io { path, .. }) if path == nowhere));
    }
}
