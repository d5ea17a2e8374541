//! The judge judged: clips that are drawn here, of every combination, soft edges, shadows, gradients and noise included.

use zoetrope::video::Frame;
use zoetrope_evaluate::see::see_all;
use zoetrope_evaluate::{Attributes, Colour, Ground, Motion, Shape, Tally, see};

const SIDE: usize = 64;
const FRAMES: usize = 17;

/// Numbers between 0 and 1 that nobody picked.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.next()
    }
}

/// Whether a point, in radii from the middle, lies in a shape.
fn inside(shape: Shape, x: f32, y: f32) -> bool {
    let radius = x.hypot(y);
    match shape {
        Shape::Circle => radius < 1.0,
        Shape::Square => x.abs().max(y.abs()) < 0.87,
        Shape::Triangle => y < 0.6 && 0.866 * x.abs() - 0.5 * y < 0.6,
        Shape::Star => {
            let sector = std::f32::consts::TAU / 5.0;
            let angle = ((x.atan2(-y) + sector / 2.0).rem_euclid(sector) - sector / 2.0).abs();
            // The edge from the tip at 1.22 to the notch at 0.55.
            let (notch, tip) = ([0.55 * 0.809, 0.55 * 0.588], [1.22, 0.0]);
            let (px, py) = (radius * angle.cos(), radius * angle.sin());
            (px - tip[0]) * (notch[1] - tip[1]) - (py - tip[1]) * (notch[0] - tip[0]) < 0.0
        }
        Shape::Ring => (0.5..1.06).contains(&radius),
    }
}

/// Centre and radius at each frame, in half widths.
fn path(motion: Motion, random: &mut Random) -> Vec<[f32; 3]> {
    let radius = random.within(0.19, 0.3);
    let room = 0.97 - 1.15 * radius;
    let (rest, way) = (random.within(-0.6, 0.6) * room, random.within(0.45, 1.1).min(2.0 * room));
    let (phase, turns) = (random.next(), random.within(0.75, 1.5));
    let wide = random.within(0.34, 0.45);
    (0..FRAMES)
        .map(|frame| {
            let t = frame as f32 / (FRAMES - 1) as f32;
            let along = way * (t - 0.5);
            match motion {
                Motion::Left => [-along, rest, radius],
                Motion::Right => [along, rest, radius],
                Motion::Up => [rest, -along, radius],
                Motion::Down => [rest, along, radius],
                Motion::Bouncing => {
                    let u = (1.7 * turns * t + phase).fract();
                    [rest, room - 1.1 * room * 4.0 * u * (1.0 - u), radius]
                }
                Motion::Circling => {
                    let angle = std::f32::consts::TAU * (turns * t + phase);
                    [wide * angle.cos(), wide * angle.sin(), radius]
                }
                Motion::Growing => [rest / 2.0, rest / 2.0, radius * 1.8_f32.powf(t - 0.5)],
                Motion::Shrinking => [rest / 2.0, rest / 2.0, radius * 1.8_f32.powf(0.5 - t)],
                Motion::Still => [rest, -rest, radius],
            }
        })
        .collect()
}

/// One object of a drawing.
struct Drawn {
    shape: Shape,
    ink: [f32; 3],
    path: Vec<[f32; 3]>,
    tilt: f32,
}

impl Drawn {
    fn new(colour: Colour, shape: Shape, motion: Motion, random: &mut Random) -> Self {
        let ink = colour.rgb().map(|channel| channel + random.within(-8.0, 8.0));
        Self { shape, ink, path: path(motion, random), tilt: random.within(-0.2, 0.2) }
    }

    /// How much of a pixel the object covers, of 4x4 points, `shift` half widths to the lower right.
    fn cover(&self, frame: usize, px: usize, py: usize, shift: f32) -> f32 {
        let [cx, cy, radius] = self.path[frame];
        let at = |pixel: usize, part: usize| (pixel as f32 + (part as f32 + 0.5) / 4.0) / SIDE as f32 * 2.0 - 1.0;
        let (sin, cos) = self.tilt.sin_cos();
        let hit = |i: usize| {
            let (x, y) = ((at(px, i % 4) - cx - shift) / radius, (at(py, i / 4) - cy - shift) / radius);
            inside(self.shape, x * cos + y * sin, y * cos - x * sin)
        };
        (0..16).filter(|&i| hit(i)).count() as f32 / 16.0
    }
}

fn draw(ground: Ground, objects: &[Drawn], random: &mut Random) -> Vec<Frame> {
    let (dx, dy) = (random.within(-22.0, 22.0), random.within(-22.0, 22.0));
    (0..FRAMES)
        .map(|frame| {
            let mut rgb = Vec::new();
            for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
                let at = |i: usize| (i as f32 + 0.5) / SIDE as f32 * 2.0 - 1.0;
                let mut pixel = ground.rgb().map(|channel| channel + dx * at(x) + dy * at(y));
                for object in objects {
                    let (cover, shadow) = (object.cover(frame, x, y, 0.0), object.cover(frame, x, y, 0.06));
                    for (channel, ink) in pixel.iter_mut().zip(object.ink) {
                        *channel = (*channel * (1.0 - 0.3 * shadow)) * (1.0 - cover) + ink * cover;
                    }
                }
                rgb.extend(pixel.map(|channel| (channel + random.within(-6.0, 6.0)).clamp(0.0, 255.0) as u8));
            }
            Frame::new(SIDE, SIDE, rgb).expect("a frame")
        })
        .collect()
}

#[test]
fn what_is_drawn_is_what_is_seen() {
    let mut random = Random(7);
    let mut tally = Tally::default();
    // Every nineteenth combination: all values of all attributes many times over.
    for asked in Attributes::all().step_by(19) {
        let object = Drawn::new(asked.colour, asked.shape, asked.motion, &mut random);
        tally.add(asked, see(&draw(asked.ground, &[object], &mut random)));
    }
    let (shares, all) = tally.right();
    assert!(shares.iter().all(|share| *share >= 0.99) && all >= 0.98, "{shares:?} {all}\n{}", tally.tables());
    // Judged by other prompts, it is wrong as often as guessing.
    let (shares, _) = tally.shifted(tally.clips() / 2 + 1).right();
    let chance = tally.chance();
    assert!(shares.iter().zip(chance).all(|(share, chance)| *share <= chance + 0.15), "{shares:?} {chance:?}");
}

#[test]
fn two_objects_are_kept_apart() {
    let mut random = Random(3);
    let pairs = [
        (Colour::Red, Shape::Circle, Motion::Left, Colour::Blue, Shape::Square, Motion::Right),
        (Colour::Yellow, Shape::Star, Motion::Right, Colour::Purple, Shape::Ring, Motion::Still),
        (Colour::Green, Shape::Triangle, Motion::Still, Colour::Pink, Shape::Circle, Motion::Left),
    ];
    for (a, a_shape, a_motion, b, b_shape, b_motion) in pairs {
        let mut objects =
            [Drawn::new(a, a_shape, a_motion, &mut random), Drawn::new(b, b_shape, b_motion, &mut random)];
        for (object, lane) in objects.iter_mut().zip([-0.5, 0.5]) {
            object.path.iter_mut().for_each(|point| point[1] = lane);
        }
        let seen = see_all(&draw(Ground::Black, &objects, &mut random));
        let mut found: Vec<_> = seen.iter().map(|object| (object.colour, object.shape, object.motion)).collect();
        found.sort();
        let mut expected = vec![(a, a_shape, a_motion), (b, b_shape, b_motion)];
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn an_empty_picture_has_no_object() {
    let mut random = Random(1);
    let seen = see(&draw(Ground::Teal, &[], &mut random));
    assert_eq!((seen.ground, seen.object), (Ground::Teal, None));
}
