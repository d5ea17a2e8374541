//! What can go wrong.

use std::path::PathBuf;

/// What went wrong; every variant names the thing and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine's own answer.
    #[error(transparent)]
    Engine(#[from] zoetrope::Error),
    /// The system refused a file operation.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's own answer.
        source: std::io::Error,
    },
    /// A file is not one of results, or holds too little.
    #[error("{}: {why}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        why: String,
    },
    /// Something was asked for that cannot be had.
    #[error("{what}: {why}")]
    Request {
        /// The flag or argument.
        what: &'static str,
        /// Why not, and what can be had.
        why: String,
    },
}

/// The result of everything fallible here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] about `path`, for use with `map_err`.
    pub fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
