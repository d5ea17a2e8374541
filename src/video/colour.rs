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
const BT709: Weights = Weights { red: 2126, green: 7152, blue: 722, one: 10_000 };

impl Weights {
    /// The weights that players assume for a video of this size that does not name any.
    pub fn of_size(width: usize, height: usize) -> Self {
        if width >= 1280 || height > 576 { BT709 } else { BT601 }
    }

    /// Y', Cb and Cr of one pixel, the nearest integers to the exact values.
    pub fn convert(self, rgb: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = rgb.map(i32::from);
        let luma = self.red * r + self.green * g + self.blue * b;
        // Cb is (B - Y') / (2 (1 - blue)) of the full scale, Cr likewise.
        [
            16 + nearest(219 * luma, 255 * self.one),
            128 + nearest(112 * (self.one * b - luma), 255 * (self.one - self.blue)),
            128 + nearest(112 * (self.one * r - luma), 255 * (self.one - self.red)),
        ]
        .map(|x| x as u8)
    }
}

/// The integer nearest to `n / d`, halves up.
fn nearest(n: i32, d: i32) -> i32 {
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
}
