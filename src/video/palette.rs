//! From true colour to a palette of 256 colours and an index for each pixel.

/// Colours of a palette.
const COLOURS: usize = 256;
/// Rounds of k-means after the cuts; more gain less than 0.1 dB.
const ROUNDS: usize = 4;
/// Bits of each channel by which similar colours are taken together.
const BITS: u32 = 5;

/// Thresholds of ordered dithering, each of 0 to 63 once, neighbours far apart (Bayer 1973).
const BAYER: [[u8; 8]; 8] = {
    let (mut table, mut y) = ([[0; 8]; 8], 0);
    while y < 8 {
        let mut x = 0;
        while x < 8 {
            // The bits of x ^ y and y, interleaved, lowest first.
            let (a, b, mut bit) = (x ^ y, y, 0);
            while bit < 3 {
                table[y][x] |= ((((a >> bit) & 1) << 1 | ((b >> bit) & 1)) << (2 * (2 - bit))) as u8;
                bit += 1;
            }
            x += 1;
        }
        y += 1;
    }
    table
};

/// A palette of at most 256 colours for these pixels, `[height, width, 3]`, and the index of each pixel.
///
/// Up to 256 colours are kept as they are. Of more, boxes of colours are cut in two where that lowers the squared error
/// most, their means refined by k-means; pixels are then dithered on a fixed pattern, which does not crawl from frame to
/// frame, as far as the palette's colours are apart.
pub fn quantise(width: usize, rgb: &[u8]) -> (Vec<[u8; 3]>, Vec<u8>) {
    let pixels = rgb.as_chunks::<3>().0;
    if let Some(exact) = exact(pixels) {
        return exact;
    }
    let bins = histogram(pixels);
    let (palette, error) = refine(&bins, cut(bins.clone()));
    // Values rounded to steps are off by step / sqrt(12) in the mean: dithering over one step makes up for it.
    let step = (12.0 * error).sqrt();
    let mut nearest = Nearest::new(&palette);
    let index = |(i, pixel): (usize, &[u8; 3])| {
        let (x, y) = (i % width, i / width);
        // Other places of the pattern for other channels, so that they do not all go up together.
        let threshold = |dx: usize, dy: usize| (f32::from(BAYER[(y + dy) % 8][(x + dx) % 8]) + 0.5) / 64.0 - 0.5;
        let shifts = [threshold(0, 0), threshold(3, 5), threshold(5, 2)];
        let [r, g, b] = [0, 1, 2].map(|c| (f32::from(pixel[c]) + step * shifts[c]).round() as u8);
        nearest.index([r, g, b])
    };
    let indices = pixels.iter().enumerate().map(index).collect();
    (palette, indices)
}

/// Every colour, if there are few enough.
fn exact(pixels: &[[u8; 3]]) -> Option<(Vec<[u8; 3]>, Vec<u8>)> {
    let mut colours: Vec<[u8; 3]> = Vec::with_capacity(COLOURS);
    for pixel in pixels {
        if let Err(place) = colours.binary_search(pixel) {
            if colours.len() == COLOURS {
                return None;
            }
            colours.insert(place, *pixel);
        }
    }
    let indices = pixels.iter().map(|pixel| colours.partition_point(|colour| colour < pixel) as u8).collect();
    Some((colours, indices))
}

/// Pixels of similar colour.
#[derive(Clone, Copy, Default)]
struct Bin {
    /// Their mean.
    colour: [f32; 3],
    /// How many there are.
    weight: f32,
}

fn histogram(pixels: &[[u8; 3]]) -> Vec<Bin> {
    let mut sums = vec![[0_u32; 4]; 1 << (3 * BITS)];
    for pixel in pixels {
        let key = pixel.iter().fold(0, |key, &value| key << BITS | usize::from(value >> (8 - BITS)));
        let [r, g, b, count] = &mut sums[key];
        *r += u32::from(pixel[0]);
        *g += u32::from(pixel[1]);
        *b += u32::from(pixel[2]);
        *count += 1;
    }
    let full = sums.into_iter().filter(|sum| sum[3] > 0);
    full.map(|[r, g, b, count]| {
        let weight = count as f32;
        Bin { colour: [r, g, b].map(|sum| sum as f32 / weight), weight }
    })
    .collect()
}

/// A box of bins, with what a cut through its widest channel could save.
struct Cell {
    bins: Vec<Bin>,
    mean: [f32; 3],
    axis: usize,
    /// The squared error in that channel.
    error: f32,
}

impl Cell {
    fn new(bins: Vec<Bin>) -> Self {
        let weight: f32 = bins.iter().map(|bin| bin.weight).sum();
        let mean = [0, 1, 2].map(|c| bins.iter().map(|bin| bin.weight * bin.colour[c]).sum::<f32>() / weight);
        let errors =
            [0, 1, 2].map(|c| bins.iter().map(|bin| bin.weight * (bin.colour[c] - mean[c]).powi(2)).sum::<f32>());
        let axis = (0..3).max_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or(0);
        Self { bins, mean, axis, error: errors[axis] }
    }
}

/// Means of boxes, cut until there are 256 or nothing is left to cut.
fn cut(bins: Vec<Bin>) -> Vec<[f32; 3]> {
    let mut cells = vec![Cell::new(bins)];
    while cells.len() < COLOURS {
        let worst = (0..cells.len()).max_by(|&a, &b| cells[a].error.total_cmp(&cells[b].error)).unwrap_or(0);
        if cells[worst].error <= 0.0 {
            break;
        }
        let Cell { bins, mean, axis, .. } = cells.swap_remove(worst);
        let (low, high): (Vec<_>, Vec<_>) = bins.into_iter().partition(|bin| bin.colour[axis] < mean[axis]);
        // Rounding can put the mean of near-equal values outside them.
        let halves = [low, high].into_iter().filter(|half| !half.is_empty()).map(Cell::new);
        let before = cells.len();
        cells.extend(halves);
        if cells.len() == before + 1 {
            cells[before].error = 0.0;
        }
    }
    cells.into_iter().map(|cell| cell.mean).collect()
}

/// K-means: the palette, and the mean squared error of a channel.
fn refine(bins: &[Bin], mut means: Vec<[f32; 3]>) -> (Vec<[u8; 3]>, f32) {
    let mut error = 0.0;
    for _ in 0..ROUNDS {
        let palette: Vec<[u8; 3]> = means.iter().map(|mean| mean.map(|x| x.round() as u8)).collect();
        let mut nearest = Nearest::new(&palette);
        let mut sums = vec![[0.0_f64; 4]; means.len()];
        error = 0.0;
        for bin in bins {
            let index = usize::from(nearest.index(bin.colour.map(|x| x.round() as u8)));
            for c in 0..3 {
                sums[index][c] += f64::from(bin.weight * bin.colour[c]);
                error += f64::from(bin.weight * (bin.colour[c] - means[index][c]).powi(2));
            }
            sums[index][3] += f64::from(bin.weight);
        }
        for (mean, sum) in means.iter_mut().zip(&sums) {
            if sum[3] > 0.0 {
                *mean = [0, 1, 2].map(|c| (sum[c] / sum[3]) as f32);
            }
        }
    }
    let weight: f64 = bins.iter().map(|bin| f64::from(bin.weight)).sum();
    (means.iter().map(|mean| mean.map(|x| x.round() as u8)).collect(), (error / (3.0 * weight)) as f32)
}

/// Finds the nearest colour of a palette; for each small cube of colours it remembers which can be it.
struct Nearest<'a> {
    palette: &'a [[u8; 3]],
    cubes: Vec<Vec<u8>>,
}

/// Bits of a channel that name the cube, and the width of one.
const CUBE_BITS: u32 = 4;
const CUBE: i32 = 256 >> CUBE_BITS;

impl<'a> Nearest<'a> {
    fn new(palette: &'a [[u8; 3]]) -> Self {
        Self { palette, cubes: vec![Vec::new(); 1 << (3 * CUBE_BITS)] }
    }

    fn index(&mut self, colour: [u8; 3]) -> u8 {
        let corner = colour.map(|value| i32::from(value) / CUBE);
        let cube = corner.iter().fold(0, |key, &value| key << CUBE_BITS | value as usize);
        if self.cubes[cube].is_empty() {
            self.cubes[cube] = self.candidates(corner.map(|value| value * CUBE));
        }
        let distance = |&index: &u8| {
            let other = self.palette[usize::from(index)];
            (0..3).map(|c| (i32::from(colour[c]) - i32::from(other[c])).pow(2)).sum::<i32>()
        };
        self.cubes[cube].iter().copied().min_by_key(distance).unwrap_or(0)
    }

    /// Colours no farther from the cube's nearest point than another is from its farthest.
    fn candidates(&self, low: [i32; 3]) -> Vec<u8> {
        let bounds = |colour: &[u8; 3]| {
            let (mut least, mut most) = (0, 0);
            for c in 0..3 {
                let (x, high) = (i32::from(colour[c]), low[c] + CUBE - 1);
                least += (low[c] - x).max(x - high).max(0).pow(2);
                most += (x - low[c]).abs().max((x - high).abs()).pow(2);
            }
            (least, most)
        };
        let bounds: Vec<_> = self.palette.iter().map(bounds).collect();
        let limit = bounds.iter().map(|&(_, most)| most).min().unwrap_or(0);
        (0..=255).zip(&bounds).filter(|(_, (least, _))| *least <= limit).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_stay_as_they_are() {
        let rgb: Vec<u8> = (0..1000_u32).flat_map(|i| [(i * 7 % 256) as u8, 3, 200]).collect();
        let (palette, indices) = quantise(100, &rgb);
        assert_eq!(palette.len(), 256);
        let back: Vec<u8> = indices.iter().flat_map(|&index| palette[usize::from(index)]).collect();
        assert_eq!(back, rgb);
    }

    #[test]
    fn the_nearest_is_the_nearest() {
        let palette: Vec<[u8; 3]> = (0..256_u32).map(|i| [37, 91, 171].map(|k| (i * i * k / 7 % 256) as u8)).collect();
        let mut nearest = Nearest::new(&palette);
        let distance = |a: [u8; 3], b: [u8; 3]| (0..3).map(|c| u32::from(a[c].abs_diff(b[c])).pow(2)).sum::<u32>();
        for i in 0..20_000_u32 {
            let colour = [i * 31 % 256, i * 17 / 3 % 256, i / 80].map(|x| x as u8);
            let best = palette.iter().map(|&other| distance(colour, other)).min();
            assert_eq!(Some(distance(colour, palette[usize::from(nearest.index(colour))])), best, "{colour:?}");
        }
    }

    #[test]
    fn dithering_keeps_the_mean() {
        // Each value twice, so that there are more colours than fit; the mean of a block must stay.
        let (width, height) = (512, 64);
        let pixel = |i: usize| [i % width / 2, 255 - i % width / 2, i / width * 4].map(|x| x as u8);
        let rgb: Vec<u8> = (0..width * height).flat_map(pixel).collect();
        let (palette, indices) = quantise(width, &rgb);
        let back: Vec<u8> = indices.iter().flat_map(|&index| palette[usize::from(index)]).collect();
        for (bx, by) in (1..width / 16 - 1).flat_map(|bx| (0..height / 16).map(move |by| (bx, by))) {
            for c in 0..3 {
                let mean = |picture: &[u8]| {
                    let at = |x: usize, y: usize| picture[3 * ((16 * by + y) * width + 16 * bx + x) + c];
                    (0..256).map(|i| f32::from(at(i % 16, i / 16))).sum::<f32>() / 256.0
                };
                let (before, after) = (mean(&rgb), mean(&back));
                assert!((before - after).abs() < 6.0, "block {bx} {by}, channel {c}: {before} became {after}");
            }
        }
    }

    #[test]
    fn the_pattern_has_every_threshold_once() {
        let mut all = BAYER.concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..64));
    }
}
