use std::fmt;

/// A stage of a run, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Prompts become embeddings.
    TextEncoder,
    /// The sampler asks the transformer; where there are two, the one for the noisy steps.
    Transformer,
    /// The sampler asks the second transformer, for the steps below the boundary.
    Transformer2,
    /// The latent becomes frames.
    VaeDecoder,
}

impl Stage {
    /// Its name as messages and plans have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text encoder",
            Self::Transformer => "transformer",
            Self::Transformer2 => "second transformer",
            Self::VaeDecoder => "VAE decoder",
        }
    }

    /// Whether the sampler's steps are counted in it.
    pub const fn samples(self) -> bool {
        matches!(self, Self::Transformer | Self::Transformer2)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
