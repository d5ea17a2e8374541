//! A clip that looks like film, written in every format for players to be tried on: see `.ci/play.sh`.

use std::fs;
use std::path::PathBuf;

use zoetrope::video::{self, Frame, SinkOptions};

use crate::clips::play;

const WIDTH: usize = 416;
const HEIGHT: usize = 240;
const FRAMES: usize = 33;

/// Writes `clip.mp4`, `clip.gif`, … and the folder `frames` into the folder that ZOETROPE_CLIPS names, with a comment that
/// is in `comment.txt`.
#[test]
#[ignore = "makes files for .ci/play.sh"]
fn clips_for_players() {
    let folder = PathBuf::from(std::env::var_os("ZOETROPE_CLIPS").expect("ZOETROPE_CLIPS names a folder"));
    let comment = format!("{{\"prompt\": \"{}\", \"seed\": 7}}", "a fox, ünï λ 🚢 \\\"so\\\" ".repeat(700));
    fs::write(folder.join("comment.txt"), &comment).unwrap();
    let frames: Vec<Frame> = (0..FRAMES).map(picture).collect();
    for ending in video::formats().into_iter().filter(|ending| *ending != "-") {
        let name = if ending == "/" { "frames/".to_owned() } else { format!("clip{ending}") };
        let options = SinkOptions { comment: Some(comment.clone()), ..SinkOptions::default() };
        play(&mut video::open(&folder.join(name), options).unwrap(), 16, &frames).unwrap();
    }
}

/// A hazy sky over textured ground that the camera pans across, a striped ball that rolls before them, faint grain.
fn picture(t: usize) -> Frame {
    let mut rgb = Vec::with_capacity(3 * WIDTH * HEIGHT);
    let time = t as f32;
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let (v, u) = (y as f32 / HEIGHT as f32, x as f32 + 2.5 * time);
            let texture = octaves(u, y as f32);
            let mut colour = if v < 0.55 {
                [0.45 + 0.4 * v, 0.6 + 0.3 * v, 0.9 - 0.1 * v].map(|c| c + 0.06 * (texture - 0.5))
            } else {
                [0.35, 0.5, 0.25].map(|c| c * (0.5 + 0.9 * texture) * (1.3 - 0.5 * v))
            };
            let (dx, dy) = (x as f32 - 60.0 - 8.0 * time, y as f32 - 150.0 - 12.0 * (0.4 * time).sin());
            if dx.hypot(dy) < 38.0 {
                let stripe = (dx * (0.2 * time).cos() + dy * (0.2 * time).sin()).rem_euclid(16.0) < 8.0;
                let light = 1.0 - 0.012 * (dx + 15.0).hypot(dy + 15.0);
                colour = if stripe { [0.9, 0.15, 0.1] } else { [0.95, 0.9, 0.8] }.map(|c| c * light);
            }
            let grain = 0.02 * (hash(x as i32, y as i32, t as i32 + 1) - 0.5);
            rgb.extend(colour.map(|c| ((c + grain).clamp(0.0, 1.0) * 255.0).round() as u8));
        }
    }
    Frame::new(WIDTH, HEIGHT, rgb).unwrap()
}

/// Value noise of four octaves, 0 to 1.
fn octaves(x: f32, y: f32) -> f32 {
    let sum: f32 =
        [48.0, 24.0, 12.0, 6.0].iter().enumerate().map(|(i, cell)| noise(x / cell, y / cell) / (1 << i) as f32).sum();
    sum / 1.875
}

fn noise(x: f32, y: f32) -> f32 {
    let (column, row) = (x.floor() as i32, y.floor() as i32);
    let ease = |f: f32| f * f * (3.0 - 2.0 * f);
    let (fx, fy) = (ease(x - x.floor()), ease(y - y.floor()));
    let at = |dx: i32, dy: i32| hash(column + dx, row + dy, 0);
    let mix = |a: f32, b: f32, f: f32| a + f * (b - a);
    mix(mix(at(0, 0), at(1, 0), fx), mix(at(0, 1), at(1, 1), fx), fy)
}

/// A number of 0 to 1 that looks random.
fn hash(x: i32, y: i32, z: i32) -> f32 {
    let mut bits = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ (z as u32).wrapping_mul(0xC2B2_AE3D);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    ((bits ^ (bits >> 15)) >> 8) as f32 / (1 << 24) as f32
}
