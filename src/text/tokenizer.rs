//! tokenizer.json, which alone says how a prompt becomes ids, read by the `tokenizers` crate.

mod check;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokenizers::{ModelWrapper, NormalizedString, Normalizer};

use crate::error::{Error, Result};
use crate::weights::{mistaken_for_json, read_regular};

/// The largest tokenizer.json that is read, in bytes; UMT5's has 17 MB.
pub(crate) const LARGEST_FILE: u64 = 256 << 20;

/// What to do about a file that cannot be used.
const REMEDY: &str = "take the tokenizer.json of the checkpoint's own tokenizer folder, or download it again";

/// A unigram tokenizer of the T5 family.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: PathBuf,
}

/// A prompt as the text encoder takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The ids, with the end token (`</s>`, 1 for UMT5) last; just that for an empty prompt.
    pub ids: Vec<u32>,
    /// The end of the prompt, if it did not fit and was cut off.
    pub cut: Option<String>,
}

impl Tokenizer {
    /// Reads a tokenizer.json; its sections on truncation and padding are ignored.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is no regular file or too long,
    /// [`Error::Tokenizer`] if it is malformed, holds another model than a unigram one, or adds no end token.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let file = path.as_ref();
        Self::from_bytes(&read_regular(file, LARGEST_FILE)?, file)
    }

    /// Reads the bytes of a tokenizer.json; `file` is what messages name.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] as [`from_file`](Self::from_file).
    pub fn from_bytes(bytes: &[u8], file: &Path) -> Result<Self> {
        let bad = |why: String| Error::Tokenizer { file: file.to_owned(), why: format!("{why}; {REMEDY}") };
        if let Some(why) = mistaken_for_json(bytes) {
            return Err(Error::Tokenizer { file: file.to_owned(), why });
        }
        check::check(bytes).map_err(bad)?;
        let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(bad)?;
        if !matches!(inner.get_model(), ModelWrapper::Unigram(_)) {
            return Err(bad(check::NOT_UNIGRAM.to_owned()));
        }
        if let Some(token) = guarded(|| empty_token(&inner)).map_err(bad)? {
            return Err(bad(format!("nothing of its added token {token:?} is left after normalization")));
        }
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        let tokenizer = Self { inner, file: file.to_owned() };
        // An ordinary word goes through every stage once, so that what is broken shows now.
        tokenizer.encode("word", usize::MAX)?;
        if tokenizer.encode("", usize::MAX)?.ids.is_empty() {
            return Err(bad("it ends a prompt with no end token (</s>)".to_owned()));
        }
        Ok(tokenizer)
    }

    /// The ids of a prompt, at most `limit` of them (512 for Wan), the end token kept.
    ///
    /// The text is used as it is: [`clean`](super::clean()) it first. A `limit` below the number of tokens that the file adds
    /// to every prompt counts as that number.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file does not cover the text.
    pub fn encode(&self, text: &str, limit: usize) -> Result<Tokens> {
        let encoding = guarded(|| self.inner.encode(text, true)).map_err(|why| {
            let why = format!("it cannot encode {:?}: {why}; {REMEDY}", excerpt(text));
            Error::Tokenizer { file: self.file.clone(), why }
        })?;
        let ids = encoding.get_ids();
        if ids.len() <= limit {
            return Ok(Tokens { ids: ids.to_vec(), cut: None });
        }
        // The tokens that the file adds at the end are kept; the same words typed into the prompt are not marked.
        let added = encoding.get_special_tokens_mask().iter().rev().take_while(|&&mark| mark == 1).count();
        let kept = limit.saturating_sub(added);
        let end = ids.len() - added;
        let start = encoding.get_offsets().get(kept).filter(|_| kept < end).map_or(text.len(), |&(start, _)| start);
        let start = (0..=start.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
        let cut = (kept < end).then(|| text[start..].to_owned());
        Ok(Tokens { ids: [&ids[..kept.min(end)], &ids[end..]].concat(), cut })
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("file", &self.file).finish_non_exhaustive()
    }
}

/// An added token that normalization leaves nothing of: the crate would find it everywhere, without end.
fn empty_token(inner: &tokenizers::Tokenizer) -> tokenizers::Result<Option<String>> {
    for token in inner.get_added_tokens_decoder().into_values().filter(|token| token.normalized) {
        let mut normalized = NormalizedString::from(token.content.as_str());
        inner.get_normalizer().map_or(Ok(()), |normalizer| normalizer.normalize(&mut normalized))?;
        if normalized.get().is_empty() {
            return Ok(Some(token.content));
        }
    }
    Ok(None)
}

/// Runs a call into the crate. It panics on some malformed files; [`check`] finds those that are known, this the others.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("it is malformed in a way that the tokenizers crate does not survive".to_owned()),
    }
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
