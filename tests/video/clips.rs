//! Clips and what all tests of formats need.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use zoetrope::video::{Frame, FrameRate, FrameSink, VideoInfo};
use zoetrope::{Error, Result};

/// A folder of its own for one test, removed at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("zoetrope-formats-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn names(&self) -> Vec<String> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Colours that change slowly across the picture and in time.
pub fn smooth(width: usize, height: usize, t: usize) -> Frame {
    clip(width, height, t, 0.0)
}

/// The same under grain of up to 12 levels either way, each channel on its own.
pub fn noisy(width: usize, height: usize, t: usize) -> Frame {
    clip(width, height, t, 24.0)
}

fn clip(width: usize, height: usize, t: usize, grain: f32) -> Frame {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(t as u64 + 1) | 1;
    let mut rgb = Vec::with_capacity(3 * width * height);
    for i in 0..width * height {
        let (x, y) = ((i % width) as f32 / width as f32, (i / width) as f32 / height as f32);
        for c in 0..3 {
            let (time, phase) = (0.2 * t as f32, c as f32);
            let value = 127.0 + 60.0 * (6.0 * x + time + phase).sin() + 50.0 * (5.0 * y - time + 2.0 * phase).cos();
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let noise = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            rgb.push((value + grain * noise) as u8);
        }
    }
    Frame::new(width, height, rgb).unwrap()
}

pub fn play(sink: &mut impl FrameSink, fps: impl Into<FrameRate>, frames: &[Frame]) -> Result<()> {
    let (width, height) = (frames[0].width(), frames[0].height());
    sink.start(&VideoInfo { width, height, fps: fps.into(), frames: frames.len() })?;
    frames.iter().try_for_each(|frame| sink.frame(frame))?;
    sink.finish()
}

/// What a refusal of this field says.
pub fn refused(result: Result<()>, field: &str) -> String {
    match result {
        Err(Error::Request { what, why }) if what == field => why,
        other => panic!("no refusal of {field}: {other:?}"),
    }
}
