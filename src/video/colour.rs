//! From RGB to the Y'CbCr of video, in the limited range (Y 16 to 235, Cb and Cr 16 to 240), exactly rounded.

/// The luma weights of red, green and blue, in parts of `one`.
#[derive(Clone, Copy)]
pub(super) struct Weights {
    red: i32,
    green: i32,
    blue: i32,
    one: i32,
}

/// ITU-R BT.601, of standard definition.
const BT601: Weights = Weights { red: 299, green: 587, blue: 114, one: 1000 };
/// ITU-R BT.709, of high definition.
pub(super) const BT709: Weights = Weights { red: 2126, green: 7152, blue: 722, one: 10_000 };

impl Weights {
    /// The weights that players assume for a video of this size that does not name any.
    pub fn of_size(width: usize, height: usize) -> Self {
        if width >= 1280 || height > 576 { BT709 } else { BT601 }
    }

    /// Y', Cb and Cr of one pixel, the nearest integers to the exact values.
    pub fn convert(self, rgb: [u8; 3]) -> [u8; 3] {
        let [cb, cr] = self.chroma(rgb.map(i32::from), 1);
        [self.luma(rgb), cb, cr]
    }

    fn luma(self, rgb: [u8; 3]) -> u8 {
        (16 + nearest(219 * i64::from(self.mix(rgb.map(i32::from))), 255 * i64::from(self.one))) as u8
    }

    /// Cb and Cr of the mean of `count` pixels, at most 8, whose sum is given.
    fn chroma(self, [r, g, b]: [i32; 3], count: i32) -> [u8; 2] {
        let luma = self.mix([r, g, b]);
        // Cb is (B - Y') / (2 (1 - blue)) of the full scale, Cr likewise.
        let code = |part, weight| {
            let (n, d) = (112 * i64::from(self.one * part - luma), 255 * i64::from((self.one - weight) * count));
            (128 + nearest(n, d)) as u8
        };
        [code(b, self.blue), code(r, self.red)]
    }

    fn mix(self, [r, g, b]: [i32; 3]) -> i32 {
        self.red * r + self.green * g + self.blue * b
    }
}

/// A picture as most video has it: one Cb and one Cr for four pixels.
#[cfg(feature = "mp4")]
#[derive(Default)]
pub(super) struct Yuv420 {
    pub y: Vec<u8>,
    pub cb: Vec<u8>,
    pub cr: Vec<u8>,
}

#[cfg(feature = "mp4")]
impl Yuv420 {
    /// Converts a picture, `[height, width, 3]`, of even sizes.
    ///
    /// A chroma sample sits where H.264 puts it unless told otherwise (type 0: on the left pixel's column, halfway
    /// between the two rows): it is the mean of three columns weighted 1, 2, 1 and of the two rows, the edge repeated,
    /// rounded once to the nearest integer.
    pub fn convert(&mut self, weights: Weights, width: usize, height: usize, rgb: &[u8]) {
        self.y.clear();
        self.cb.clear();
        self.cr.clear();
        self.y.extend(rgb.as_chunks::<3>().0.iter().map(|pixel| weights.luma(*pixel)));
        for rows in rgb.chunks_exact(2 * 3 * width).take(height / 2) {
            let (upper, lower) = rows.split_at(3 * width);
            let column = |x: usize| [0, 1, 2].map(|c| i32::from(upper[3 * x + c]) + i32::from(lower[3 * x + c]));
            for x in (0..width).step_by(2) {
                let (left, centre, right) = (column(x.saturating_sub(1)), column(x), column(x + 1));
                let [cb, cr] = weights.chroma([0, 1, 2].map(|c| left[c] + 2 * centre[c] + right[c]), 8);
                self.cb.push(cb);
                self.cr.push(cr);
            }
        }
    }
}

/// The integer nearest to `n / d`, halves up.
fn nearest(n: i64, d: i64) -> i64 {
    (2 * n + d).div_euclid(2 * d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primaries_have_their_standard_codes() {
        for (rgb, sd, hd) in [
            ([0, 0, 0], [16, 128, 128], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128], [235, 128, 128]),
            ([255, 0, 0], [81, 90, 240], [63, 102, 240]),
            ([0, 255, 0], [145, 54, 34], [173, 42, 26]),
            ([0, 0, 255], [41, 240, 110], [32, 240, 118]),
        ] {
            assert_eq!((BT601.convert(rgb), BT709.convert(rgb)), (sd, hd));
        }
    }

    #[test]
    fn every_code_is_the_nearest() {
        for (weights, [kr, kg, kb]) in [(BT601, [0.299, 0.587, 0.114]), (BT709, [0.2126, 0.7152, 0.0722])] {
            for i in 0..52_u32.pow(3) {
                let rgb = [i % 52, i / 52 % 52, i / 52 / 52].map(|x| (x * 5) as u8);
                let [r, g, b] = rgb.map(|x| f64::from(x) / 255.0);
                let y = kr * r + kg * g + kb * b;
                let exact = [
                    16.0 + 219.0 * y,
                    128.0 + 224.0 * (b - y) / (2.0 * (1.0 - kb)),
                    128.0 + 224.0 * (r - y) / (2.0 * (1.0 - kr)),
                ];
                for (code, exact) in weights.convert(rgb).into_iter().zip(exact) {
                    assert!((f64::from(code) - exact).abs() <= 0.5 + 1e-9, "{rgb:?}: {code} for {exact}");
                }
            }
        }
    }

    #[test]
    fn the_weights_follow_the_size() {
        assert_eq!(Weights::of_size(832, 480).one, BT601.one);
        assert_eq!(Weights::of_size(1280, 720).one, BT709.one);
        assert_eq!(Weights::of_size(480, 832).one, BT709.one);
    }

    #[cfg(feature = "mp4")]
    #[test]
    fn chroma_of_four_pixels_is_the_nearest_to_the_weighted_mean() {
        let (width, height) = (6, 4);
        let rgb: Vec<u8> = (0..3 * width * height).map(|i| (i * i * 37 % 256) as u8).collect();
        let mut picture = Yuv420::default();
        picture.convert(BT709, width, height, &rgb);
        assert_eq!((picture.y.len(), picture.cb.len(), picture.cr.len()), (24, 6, 6));
        for i in 0..6 {
            let (x, y) = (i % 3 * 2, i / 3 * 2);
            let [mut r, mut g, mut b] = [0.0; 3];
            for (column, weight) in [(x.max(1) - 1, 0.125), (x, 0.25), (x + 1, 0.125)] {
                for row in [y, y + 1] {
                    let at = 3 * (row * width + column);
                    let [red, green, blue] = [0, 1, 2].map(|c| weight * f64::from(rgb[at + c]) / 255.0);
                    (r, g, b) = (r + red, g + green, b + blue);
                }
            }
            let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
            let exact = [128.0 + 224.0 * (b - luma) / 1.8556, 128.0 + 224.0 * (r - luma) / 1.5748];
            for (code, exact) in [picture.cb[i], picture.cr[i]].into_iter().zip(exact) {
                assert!((f64::from(code) - exact).abs() <= 0.5 + 1e-9, "sample {i}: {code} for {exact}");
            }
        }
        for (luma, pixel) in picture.y.iter().zip(rgb.as_chunks::<3>().0) {
            assert_eq!(*luma, BT709.convert(*pixel)[0]);
        }
    }
}
