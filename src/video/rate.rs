//! The frame rate of a video.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// The whole rates that television divides by 1.001: 23.976 stands for 24000/1001, 29.97 for 30000/1001 (SMPTE ST 170).
const TELEVISION: [u32; 6] = [24, 30, 48, 60, 120, 240];

/// How far a decimal may be from a television rate and still mean it: `23.98` and `23.976` are both 24000/1001.
const NEAR: f64 = 0.005;

/// Frames per second as an exact fraction in lowest terms, such as 16, 25/2 or 24000/1001.
///
/// Containers keep rates as fractions; a rounded decimal would drift against sound within minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    numerator: u32,
    denominator: u32,
}

impl FrameRate {
    /// A whole rate; 0 is refused by whoever takes a [`VideoInfo`](super::VideoInfo).
    pub const fn whole(rate: u32) -> Self {
        Self { numerator: rate, denominator: 1 }
    }

    /// `numerator / denominator` frames per second.
    ///
    /// # Errors
    /// [`Error::Request`] if one of them is 0.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self> {
        if numerator == 0 || denominator == 0 {
            return Err(refusal(format!("{numerator}/{denominator} is no rate; it must be above 0")));
        }
        let divisor = greatest_common_divisor(numerator, denominator);
        Ok(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// The numerator of the fraction in lowest terms.
    pub fn numerator(self) -> u32 {
        self.numerator
    }

    /// The denominator of the fraction in lowest terms; 1 for a whole rate.
    pub fn denominator(self) -> u32 {
        self.denominator
    }

    /// Frames per second, rounded to a double.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// Whether there is no rate: 0 frames per second, which no video has.
    pub fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// Whether there are more than `most` frames per second, without rounding.
    pub fn exceeds(self, most: u32) -> bool {
        u64::from(self.numerator) > u64::from(most) * u64::from(self.denominator)
    }
}

/// [`FrameRate::whole`].
impl From<u32> for FrameRate {
    fn from(rate: u32) -> Self {
        Self::whole(rate)
    }
}

/// Reads a whole number (`24`), a fraction (`24000/1001`) or a decimal (`12.5`); decimals near a television rate stand for
/// it (`23.976` is 24000/1001).
impl FromStr for FrameRate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let refuse =
            || refusal(format!("{text:?} is no frame rate; write a number or a fraction, such as 24 or 24000/1001"));
        // What `u32` reads besides digits: a plus sign.
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if let Some((numerator, denominator)) = text.split_once('/') {
            let (numerator, denominator) = (numerator.trim_end(), denominator.trim_start());
            if !plain(numerator) || !plain(denominator) {
                return Err(refuse());
            }
            let parsed = numerator.parse().ok().zip(denominator.parse().ok());
            let (numerator, denominator) = parsed.ok_or_else(refuse)?;
            return Self::new(numerator, denominator);
        }
        let Some((whole, decimals)) = text.split_once('.') else {
            let whole = text.parse().ok().filter(|_| plain(text)).ok_or_else(refuse)?;
            return Self::new(whole, 1);
        };
        let decimals = decimals.trim_end_matches('0');
        if !plain(whole) || !(decimals.is_empty() || plain(decimals)) {
            return Err(refuse());
        }
        let value: f64 = text.parse().map_err(|_| refuse())?;
        let near = |rate: &u32| (f64::from(*rate) / 1.001 - value).abs() < NEAR;
        if let Some(rate) = TELEVISION.into_iter().find(near).filter(|_| !decimals.is_empty()) {
            return Self::new(1000 * rate, 1001);
        }
        let scale = 10_u32.checked_pow(decimals.len() as u32).ok_or_else(refuse)?;
        let numerator = format!("{whole}{decimals}").parse().map_err(|_| refuse())?;
        Self::new(numerator, scale)
    }
}

/// As it is read: `24`, `24000/1001`.
impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// A whole rate as a number, others as the text that [`Display`](fmt::Display) gives.
impl Serialize for FrameRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.denominator {
            1 => serializer.serialize_u32(self.numerator),
            _ => serializer.collect_str(self),
        }
    }
}

/// A whole number, or a text as [`FromStr`] reads it.
impl<'de> Deserialize<'de> for FrameRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = FrameRate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a frame rate, such as 24 or \"24000/1001\"")
            }

            fn visit_u64<E: de::Error>(self, rate: u64) -> std::result::Result<FrameRate, E> {
                let rate = u32::try_from(rate).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(rate), &self))?;
                Ok(rate.into())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<FrameRate, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

fn refusal(why: String) -> Error {
    Error::Request { what: "fps", why }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_exact_fractions() {
        let read = |text: &str| text.parse::<FrameRate>().map(|rate| (rate.numerator(), rate.denominator())).ok();
        for (text, expected) in [
            ("24", (24, 1)),
            ("24000/1001", (24_000, 1001)),
            ("48000/2002", (24_000, 1001)),
            ("23.976", (24_000, 1001)),
            ("23.98", (24_000, 1001)),
            ("29.97", (30_000, 1001)),
            ("59.94", (60_000, 1001)),
            ("119.88", (120_000, 1001)),
            ("24.0", (24, 1)),
            ("24.", (24, 1)),
            ("12.5", (25, 2)),
            (" 0.5 ", (1, 2)),
            ("16.6667", (166_667, 10_000)),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "0",
            "0/1",
            "1/0",
            "-1",
            "+24",
            "1e3",
            "nan",
            "inf",
            "24fps",
            "/",
            "1/",
            "1/2/3",
            "4294967296",
            "1.2.3",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("0.00000000001"), None, "finer than a fraction of 32 bits");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["16", "24000/1001", "25/2"] {
            let rate: FrameRate = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
            let json = serde_json::to_string(&rate).unwrap();
            assert_eq!(serde_json::from_str::<FrameRate>(&json).unwrap(), rate, "{json}");
        }
        assert_eq!(serde_json::to_string(&FrameRate::from(16)).unwrap(), "16");
        assert!(serde_json::from_str::<FrameRate>("-1").is_err() && serde_json::from_str::<FrameRate>("1.5").is_err());
    }

    #[test]
    fn limits_are_held_without_rounding() {
        let rate = FrameRate::new(50_001, 1000).unwrap();
        assert!(rate.exceeds(50) && !FrameRate::from(50).exceeds(50) && FrameRate::from(51).exceeds(50));
    }
}
