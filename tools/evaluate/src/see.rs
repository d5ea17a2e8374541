//! What the frames of a clip show: told from their pixels alone.

use std::f32::consts::PI;

use zoetrope::video::Frame;

use crate::world::{Colour, Ground, Motion, Shape, distance};

/// How far a pixel is from all shades of its background before it counts as part of an object.
const OBJECT: f32 = 60.0;
/// How far, if it has the object's colour more than the background's: the outline.
const OUTLINE: f32 = 30.0;
/// How far a pixel of an object is from the centre of its colour at most.
const LIKE: f32 = 80.0;
/// How much a shadow darkens the background at most, and a gradient lightens it beyond its plane.
const SHADES: (f32, f32) = (0.5, 1.08);
/// The share of the picture that an object has at least.
const LEAST: f32 = 0.002;

/// Shapes by the number of their corners.
const CORNERS: [(f32, Shape); 3] = [(3.0, Shape::Triangle), (4.0, Shape::Square), (5.0, Shape::Star)];
/// A weaker ripple is that of the pixels on a round outline.
const ROUND: f32 = 0.04;

/// What a clip shows; nothing where no object stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The background.
    pub ground: Ground,
    /// The object that has the most pixels.
    pub object: Option<Object>,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its colour.
    pub colour: Colour,
    /// Its outline, as most frames have it.
    pub shape: Shape,
    /// Its way through the clip.
    pub motion: Motion,
}

/// Looks at a clip of one object.
pub fn see(frames: &[Frame]) -> Seen {
    let clip = Clip::new(frames);
    let objects = clip.objects();
    Seen { ground: clip.ground_name(), object: objects.first().copied() }
}

/// Looks at a clip of several objects of different colours; the ones with the most pixels first.
pub fn see_all(frames: &[Frame]) -> Vec<Object> {
    Clip::new(frames).objects()
}

/// Frames over a background: a plane of brightness for each channel.
struct Clip<'a> {
    frames: &'a [Frame],
    width: usize,
    height: usize,
    /// Value in the middle, and change towards the right and lower edge, of each channel.
    plane: [[f32; 3]; 3],
}

impl<'a> Clip<'a> {
    fn new(frames: &'a [Frame]) -> Self {
        let (width, height) = frames.first().map_or((0, 0), |frame| (frame.width(), frame.height()));
        let mut clip = Self { frames, width, height, plane: [[0.0; 3]; 3] };
        clip.fit_plane();
        clip
    }

    /// The background is a plane through what the border shows most of the time; an object that rests at the border is
    /// left out the second time.
    fn fit_plane(&mut self) {
        let band = (self.width.min(self.height) / 26).max(2);
        let mut points = Vec::new();
        for y in 0..self.height {
            for x in 0..self.width {
                let inside = (band..self.width.saturating_sub(band)).contains(&x)
                    && (band..self.height.saturating_sub(band)).contains(&y);
                if !inside {
                    points.push((self.place(x, y), self.usual(x, y)));
                }
            }
        }
        let all: [f32; 3] = std::array::from_fn(|c| median(points.iter().map(|(_, rgb)| rgb[c]).collect()));
        self.plane = [[all[0], 0.0, 0.0], [all[1], 0.0, 0.0], [all[2], 0.0, 0.0]];
        for limit in [90.0, 40.0] {
            let kept: Vec<_> = points.iter().filter(|(at, rgb)| distance(self.ground(*at), *rgb) < limit).collect();
            for channel in 0..3 {
                let samples = kept.iter().map(|(at, rgb)| (*at, rgb[channel]));
                if let Some(plane) = least_squares(samples) {
                    self.plane[channel] = plane;
                }
            }
        }
    }

    /// A pixel's place, -1 to 1 from edge to edge.
    fn place(&self, x: usize, y: usize) -> [f32; 2] {
        let along = |i: usize, length: usize| (i as f32 + 0.5) / length as f32 * 2.0 - 1.0;
        [along(x, self.width), along(y, self.height)]
    }

    fn ground(&self, [x, y]: [f32; 2]) -> [f32; 3] {
        self.plane.map(|[middle, dx, dy]| (middle + dx * x + dy * y).clamp(0.0, 255.0))
    }

    fn pixel(&self, frame: &Frame, x: usize, y: usize) -> [f32; 3] {
        let at = (y * self.width + x) * 3;
        [0, 1, 2].map(|c| f32::from(frame.rgb()[at + c]))
    }

    /// What a pixel shows in the middle of all frames, channel by channel.
    fn usual(&self, x: usize, y: usize) -> [f32; 3] {
        std::array::from_fn(|c| median(self.frames.iter().map(|frame| self.pixel(frame, x, y)[c]).collect()))
    }

    fn ground_name(&self) -> Ground {
        let middle = self.ground([0.0, 0.0]);
        nearest(Ground::ALL, |ground| distance(ground.rgb(), middle))
    }

    /// How far a pixel is from its background in any shade.
    fn away(&self, pixel: [f32; 3], at: [f32; 2]) -> f32 {
        let ground = self.ground(at);
        let dot = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let shade = (dot(pixel, ground) / dot(ground, ground).max(1.0)).clamp(SHADES.0, SHADES.1);
        distance(pixel, ground.map(|channel| channel * shade))
    }

    /// Calls `visit` with each pixel of a frame, its place and its distance from the background.
    fn each(&self, frame: &Frame, mut visit: impl FnMut(usize, usize, [f32; 3], f32)) {
        for y in 0..self.height {
            for x in 0..self.width {
                let pixel = self.pixel(frame, x, y);
                visit(x, y, pixel, self.away(pixel, self.place(x, y)));
            }
        }
    }

    fn objects(&self) -> Vec<Object> {
        // Pixels by the colour that they are nearest to.
        let mut votes: Vec<Vec<[f32; 3]>> = vec![Vec::new(); Colour::ALL.len()];
        for frame in self.frames {
            self.each(frame, |_, _, pixel, away| {
                if away > OBJECT {
                    let colour = nearest(Colour::ALL, |colour| distance(colour.rgb(), pixel));
                    // An outline mixed with the background may be near to a colour that nobody has.
                    if distance(colour.rgb(), pixel) < LIKE {
                        votes[colour as usize].push(pixel);
                    }
                }
            });
        }
        let most = votes.iter().map(Vec::len).max().unwrap_or(0);
        let least = (LEAST * (self.width * self.height * self.frames.len()) as f32).max(most as f32 * 0.15);
        let mut found: Vec<(usize, Colour, [f32; 3])> = Vec::new();
        for (colour, pixels) in Colour::ALL.iter().zip(&votes) {
            if pixels.len() as f32 > least {
                let ink = std::array::from_fn(|c| median(pixels.iter().map(|pixel| pixel[c]).collect()));
                found.push((pixels.len(), *colour, ink));
            }
        }
        found.sort_by_key(|(pixels, ..)| std::cmp::Reverse(*pixels));
        let inks: Vec<[f32; 3]> = found.iter().map(|(.., ink)| *ink).collect();
        let looked = found.iter().enumerate().map(|(own, (_, colour, _))| {
            let (shape, motion) = self.follow(&inks, own)?;
            Some(Object { colour: *colour, shape, motion })
        });
        looked.flatten().collect()
    }

    /// Shape and motion of the object of one ink among all.
    fn follow(&self, inks: &[[f32; 3]], own: usize) -> Option<(Shape, Motion)> {
        let mut path = Vec::new();
        let mut votes = [0.0_f32; Shape::ALL.len()];
        for frame in self.frames {
            let mut covers = vec![0.0; self.width * self.height];
            self.each(frame, |x, y, pixel, away| {
                let to = distance(inks[own], pixel);
                let another = inks.iter().enumerate().any(|(i, ink)| i != own && distance(*ink, pixel) < to);
                // The share of the pixel that the object covers, its outline being soft.
                let cover = away / (away + to);
                if away > OUTLINE && cover > 0.25 && !another {
                    covers[y * self.width + x] = cover;
                }
            });
            let points = largest_patch(covers, self.width);
            let middle = middle_of(&points);
            if middle[2] < LEAST * (self.width * self.height) as f32 {
                continue;
            }
            let half = [self.width, self.height].map(|side| side as f32 / 2.0);
            let radius = (middle[2] / PI).sqrt() / half[0];
            path.push([middle[0] / half[0] - 1.0, middle[1] / half[1] - 1.0, radius]);
            votes[shape_of(&points, middle) as usize] += radius;
        }
        if path.len() * 2 < self.frames.len() {
            return None;
        }
        let best = (0..votes.len()).max_by(|&a, &b| votes[a].total_cmp(&votes[b]))?;
        Some((Shape::ALL[best], motion_of(&path)))
    }
}

/// A hole makes a ring; else the corners are counted by the strongest ripple of the outline.
///
/// The squared distance of an outline from the middle has the Fourier coefficients of the covered area's angles, which
/// takes no outline to be traced.
fn shape_of(points: &[[f32; 3]], [cx, cy, area]: [f32; 3]) -> Shape {
    let size = (area / PI).sqrt();
    let mut inner = 0.0;
    let mut ripples = [[0.0_f32; 2]; CORNERS.len()];
    for [x, y, cover] in points {
        let (dx, dy) = (x - cx, y - cy);
        if dx.hypot(dy) < 0.3 * size {
            inner += cover;
        }
        for (ripple, (corners, _)) in ripples.iter_mut().zip(CORNERS) {
            let (sin, cos) = (corners * dy.atan2(dx)).sin_cos();
            ripple[0] += cover * cos;
            ripple[1] += cover * sin;
        }
    }
    if inner < 0.5 * PI * (0.3 * size).powi(2) {
        return Shape::Ring;
    }
    let strength = ripples.map(|[re, im]| re.hypot(im) / area);
    let best = (0..CORNERS.len()).max_by(|&a, &b| strength[a].total_cmp(&strength[b])).unwrap_or(0);
    if strength[best] > ROUND { CORNERS[best].1 } else { Shape::Circle }
}

/// The motion of centres and radii, in half widths.
fn motion_of(path: &[[f32; 3]]) -> Motion {
    let mean = |part: &[[f32; 3]], axis: usize| part.iter().map(|point| point[axis]).sum::<f32>() / part.len() as f32;
    let ends = 3.min(path.len());
    let (first, last) = (&path[..ends], &path[path.len() - ends..]);
    let swell = (mean(last, 2) / mean(first, 2)).ln();
    if swell.abs() > 0.25 {
        return if swell > 0.0 { Motion::Growing } else { Motion::Shrinking };
    }
    let span = |axis: usize| {
        let values = path.iter().map(|point| point[axis]);
        values.clone().fold(f32::MIN, f32::max) - values.fold(f32::MAX, f32::min)
    };
    let (wide, tall) = (span(0), span(1));
    let (less, more) = (wide.min(tall), wide.max(tall));
    if more < 0.15 {
        return Motion::Still;
    }
    if less > 0.25 && less > 0.35 * more {
        return Motion::Circling;
    }
    let way = |axis: usize| path[path.len() - 1][axis] - path[0][axis];
    if wide > tall {
        return if way(0) > 0.0 { Motion::Right } else { Motion::Left };
    }
    let travelled: f32 = path.windows(2).map(|pair| (pair[1][1] - pair[0][1]).abs()).sum();
    if way(1).abs() < 0.75 * travelled {
        return Motion::Bouncing;
    }
    if way(1) > 0.0 { Motion::Down } else { Motion::Up }
}

/// The pixels of the largest connected patch, their centres and covers: outlines of other objects can have any colour.
fn largest_patch(mut covers: Vec<f32>, width: usize) -> Vec<[f32; 3]> {
    let mut largest = (0.0, Vec::new());
    for start in 0..covers.len() {
        let (mut stack, mut patch, mut area) = (vec![start], Vec::new(), 0.0);
        while let Some(at) = stack.pop() {
            let cover = std::mem::take(&mut covers[at]);
            if cover == 0.0 {
                continue;
            }
            let (x, y) = (at % width, at / width);
            patch.push([x as f32 + 0.5, y as f32 + 0.5, cover]);
            area += cover;
            let sideways = [(x > 0).then(|| at - 1), (x + 1 < width).then_some(at + 1)];
            let upright = [at.checked_sub(width), Some(at + width).filter(|below| *below < covers.len())];
            stack.extend(sideways.into_iter().chain(upright).flatten());
        }
        if area > largest.0 {
            largest = (area, patch);
        }
    }
    largest.1
}

/// The centre and the area of points with weights.
fn middle_of(points: &[[f32; 3]]) -> [f32; 3] {
    let area: f32 = points.iter().map(|point| point[2]).sum();
    let along = |axis: usize| points.iter().map(|point| point[axis] * point[2]).sum::<f32>() / area.max(1e-6);
    [along(0), along(1), area]
}

fn nearest<T: Copy>(all: &[T], far: impl Fn(T) -> f32) -> T {
    let best = all.iter().copied().min_by(|a, b| far(*a).total_cmp(&far(*b)));
    best.expect("a list of names is not empty")
}

fn median(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// The plane `a + b x + c y` nearest to the samples, by the normal equations; none if they do not span a plane.
fn least_squares(samples: impl Iterator<Item = ([f32; 2], f32)>) -> Option<[f32; 3]> {
    let mut m = [[0.0_f64; 4]; 3];
    for ([x, y], value) in samples {
        let row = [1.0, f64::from(x), f64::from(y)];
        for i in 0..3 {
            for j in 0..3 {
                m[i][j] += row[i] * row[j];
            }
            m[i][3] += row[i] * f64::from(value);
        }
    }
    for i in 0..3 {
        let pivot = (i..3).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < 1e-6 {
            return None;
        }
        let row = m[i];
        for (_, other) in m.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i] / row[i];
            other.iter_mut().zip(row).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    Some([0, 1, 2].map(|i| (m[i][3] / m[i][i]) as f32))
}
