//! From a prompt to token ids: what diffusers' Wan pipeline does to the words before the text encoder sees them.

mod clean;
mod tokenizer;

pub use clean::clean;
pub(crate) use tokenizer::LARGEST_FILE;
pub use tokenizer::{Tokenizer, Tokens};
