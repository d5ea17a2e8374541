//! The suites: fixed lists of shapes, taken from the models. Whoever changes a list raises its version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::case::{Case, ElementwiseKind as E, NormKind as N};
use crate::error::Error;

/// A list of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// Small shapes for any device: Wan2.1 1.3B and its text encoder at 256x256 and 9 frames, its VAE at 128x128, and the
    /// bundled checkpoint.
    Quick,
    /// Wan2.1 1.3B and 14B, their text encoder and VAE at 832x480 and 81 frames.
    #[serde(rename = "wan-480p")]
    Wan480p,
    /// Wan2.1 14B at 1280x720 and 81 frames, Wan2.2 5B at 1280x704 and 121.
    #[serde(rename = "wan-720p")]
    Wan720p,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Wan480p, Self::Wan720p];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Wan480p => "wan-480p",
            Self::Wan720p => "wan-720p",
        }
    }

    /// Rows of different versions are never compared.
    pub fn version(self) -> u32 {
        match self {
            Self::Quick | Self::Wan480p | Self::Wan720p => 1,
        }
    }

    /// The cases.
    pub fn cases(self) -> &'static [Case] {
        match self {
            Self::Quick => QUICK,
            Self::Wan480p => WAN_480P,
            Self::Wan720p => WAN_720P,
        }
    }
}

impl FromStr for Suite {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Request { what: "suite", why: format!("{text:?} is not one of {names}") }
        };
        Self::ALL.into_iter().find(|suite| suite.name() == text).ok_or_else(refuse)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kernels of a convolution: over space and time, space alone, time alone.
const ALL: [usize; 3] = [3, 3, 3];
const SPACE: [usize; 3] = [1, 3, 3];
const TIME: [usize; 3] = [3, 1, 1];

const QUICK: &[Case] = &[
    // The transformer of 1.3B: 768 tokens of a clip, in two branches; the text; the time.
    Case::linear(1536, 1536, 1536),
    Case::linear(768, 1536, 8960),
    Case::linear(768, 8960, 1536),
    Case::linear(65, 1536, 1536),
    Case::linear(1, 1536, 9216),
    // The text encoder at 64 tokens.
    Case::linear(64, 4096, 4096),
    Case::linear(64, 4096, 10240),
    Case::linear(64, 10240, 4096),
    // The VAE's attention and shortcut.
    Case::linear(1024, 384, 384),
    Case::linear(2048, 192, 384),
    // The bundled checkpoint: 80 tokens in two branches.
    Case::linear(160, 128, 128),
    Case::linear(160, 128, 448),
    Case::linear(160, 448, 128),
    Case::attention(12, 128, 768, 768),
    Case::attention(12, 128, 1280, 1280),
    Case::attention(12, 128, 768, 65),
    Case::attention(64, 64, 64, 64),
    Case::attention(1, 384, 1024, 1024),
    Case::attention(4, 32, 80, 80),
    Case::attention(4, 32, 80, 10),
    Case::conv3d([1, 32, 32], [384, 384], ALL),
    Case::conv3d([1, 32, 32], [384, 768], TIME),
    Case::conv3d([2, 32, 32], [384, 384], ALL),
    Case::conv3d([2, 32, 32], [384, 192], SPACE),
    Case::conv3d([4, 64, 64], [192, 192], ALL),
    Case::conv3d([4, 64, 64], [192, 96], SPACE),
    Case::conv3d([4, 128, 128], [96, 96], ALL),
    Case::conv3d([4, 64, 64], [96, 3], ALL),
    // The bundled checkpoint's VAE.
    Case::conv3d([1, 8, 8], [48, 48], ALL),
    Case::conv3d([2, 16, 16], [48, 48], ALL),
    Case::conv3d([4, 32, 32], [48, 48], ALL),
    Case::conv3d([4, 64, 64], [48, 24], SPACE),
    Case::conv3d([4, 64, 64], [32, 32], ALL),
    Case::conv3d([4, 128, 128], [32, 16], SPACE),
    Case::conv3d([4, 128, 128], [16, 16], ALL),
    Case::conv3d([4, 128, 128], [16, 3], ALL),
    Case::norm(N::LayerNorm, 1536, 1536),
    Case::norm(N::LayerNormAffine, 1536, 1536),
    Case::norm(N::RmsNorm, 1536, 1536),
    Case::norm(N::RmsNorm, 64, 4096),
    Case::norm(N::ChannelNormSilu, 65536, 96),
    Case::norm(N::ChannelNormSilu, 2048, 384),
    Case::norm(N::ChannelNormSilu, 65536, 16),
    Case::elementwise(E::Rope, 1536, 1536),
    Case::elementwise(E::Modulate, 1536, 1536),
    Case::elementwise(E::GatedAdd, 1536, 1536),
    Case::elementwise(E::Add, 65536, 96),
    Case::elementwise(E::Mul, 64, 10240),
    Case::elementwise(E::Upsample, 4096, 192),
    Case::elementwise(E::Copy, 32768, 96),
];

const WAN_480P: &[Case] = &[
    // 32,760 tokens; the hidden layer goes 4,096 at a time.
    Case::linear(32760, 1536, 1536),
    Case::linear(4096, 1536, 8960),
    Case::linear(4096, 8960, 1536),
    Case::linear(32760, 5120, 5120),
    Case::linear(4096, 5120, 13824),
    Case::linear(4096, 13824, 5120),
    Case::linear(512, 4096, 4096),
    Case::linear(512, 4096, 10240),
    Case::linear(512, 10240, 4096),
    Case::linear(6240, 384, 384),
    Case::linear(49920, 192, 384),
    Case::attention(12, 128, 32760, 32760),
    Case::attention(40, 128, 32760, 32760),
    Case::attention(12, 128, 32760, 512),
    Case::attention(40, 128, 32760, 512),
    Case::attention(64, 64, 512, 512),
    Case::attention(1, 384, 6240, 6240),
    Case::conv3d([1, 60, 104], [384, 384], ALL),
    Case::conv3d([2, 120, 208], [384, 384], ALL),
    Case::conv3d([2, 120, 208], [384, 192], SPACE),
    Case::conv3d([2, 120, 208], [384, 768], TIME),
    Case::conv3d([4, 240, 416], [192, 192], ALL),
    Case::conv3d([4, 480, 832], [192, 96], SPACE),
    Case::conv3d([4, 480, 832], [96, 96], ALL),
    Case::conv3d([4, 480, 832], [96, 3], ALL),
    Case::norm(N::LayerNorm, 32760, 1536),
    Case::norm(N::LayerNormAffine, 32760, 5120),
    Case::norm(N::RmsNorm, 32760, 1536),
    Case::norm(N::RmsNorm, 32760, 5120),
    Case::norm(N::ChannelNormSilu, 399_360, 192),
    Case::norm(N::ChannelNormSilu, 1_597_440, 96),
    Case::elementwise(E::Rope, 32760, 1536),
    Case::elementwise(E::Modulate, 32760, 1536),
    Case::elementwise(E::GatedAdd, 32760, 1536),
    Case::elementwise(E::Add, 1_597_440, 96),
    Case::elementwise(E::Mul, 512, 10240),
    Case::elementwise(E::Upsample, 399_360, 192),
    Case::elementwise(E::Copy, 798_720, 96),
];

const WAN_720P: &[Case] = &[
    // 75,600 tokens of 14B, 27,280 of 5B.
    Case::linear(75600, 5120, 5120),
    Case::linear(4096, 5120, 13824),
    Case::linear(4096, 13824, 5120),
    Case::linear(27280, 3072, 3072),
    Case::linear(4096, 3072, 14336),
    Case::linear(4096, 14336, 3072),
    Case::linear(14400, 384, 384),
    Case::linear(3520, 1024, 1024),
    Case::attention(40, 128, 75600, 75600),
    Case::attention(40, 128, 75600, 512),
    Case::attention(24, 128, 27280, 27280),
    Case::attention(24, 128, 27280, 512),
    Case::attention(1, 384, 14400, 14400),
    Case::attention(1, 1024, 3520, 3520),
    Case::conv3d([1, 90, 160], [384, 384], ALL),
    Case::conv3d([2, 180, 320], [384, 384], ALL),
    Case::conv3d([4, 360, 640], [192, 192], ALL),
    Case::conv3d([4, 720, 1280], [192, 96], SPACE),
    Case::conv3d([4, 720, 1280], [96, 96], ALL),
    Case::conv3d([4, 720, 1280], [96, 3], ALL),
    Case::conv3d([1, 44, 80], [1024, 1024], ALL),
    Case::conv3d([2, 88, 160], [1024, 1024], ALL),
    Case::conv3d([2, 88, 160], [1024, 2048], TIME),
    Case::conv3d([4, 176, 320], [1024, 1024], SPACE),
    Case::conv3d([4, 176, 320], [512, 512], ALL),
    Case::conv3d([4, 352, 640], [256, 256], ALL),
    Case::conv3d([4, 352, 640], [256, 12], ALL),
    Case::norm(N::LayerNorm, 75600, 5120),
    Case::norm(N::RmsNorm, 75600, 5120),
    Case::norm(N::LayerNormAffine, 27280, 3072),
    Case::norm(N::ChannelNormSilu, 3_686_400, 96),
    Case::norm(N::ChannelNormSilu, 901_120, 256),
    Case::elementwise(E::Rope, 75600, 5120),
    Case::elementwise(E::Modulate, 75600, 5120),
    Case::elementwise(E::GatedAdd, 75600, 5120),
    Case::elementwise(E::Upsample, 921_600, 192),
    Case::elementwise(E::Copy, 1_843_200, 96),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn suites_have_every_op_and_no_case_twice() {
        for suite in Suite::ALL {
            let cases = suite.cases();
            assert_eq!(cases.iter().collect::<HashSet<_>>().len(), cases.len(), "{suite}");
            assert_eq!(cases.iter().map(Case::op).collect::<BTreeSet<_>>().len(), 5, "{suite}");
            assert_eq!(suite.name().parse::<Suite>().unwrap(), suite);
            assert_eq!(serde_json::to_value(suite).unwrap(), suite.name());
        }
    }

    /// With 22 runs of each row in three seconds, a laptop's processor at 100 GFLOP/s is still in time for most of them.
    #[test]
    fn quick_is_quick() {
        for case in Suite::Quick.cases() {
            assert!(case.flop() < 34_000_000_000, "{case}: {}", case.flop());
            assert!(case.bytes(2) < 200_000_000, "{case}: {}", case.bytes(2));
        }
    }
}
