//! Prompts: text, token ids or embeddings.

use std::fmt;

use crate::error::{Error, Result};
use crate::models::{umt5, wan};
use crate::tensor::Tensor;

/// What the video should show, as far along the way to the transformer as the caller has brought it.
#[derive(Clone)]
pub enum Prompt {
    /// Text, cleaned and tokenized as the checkpoint's tokenizer.json says. Without the feature `tokenizer` only the empty
    /// text can be done.
    Text(String),
    /// Token ids with the end token, at most 512.
    Tokens(Vec<u32>),
    /// What [`Pipeline::encode`](crate::Pipeline::encode) makes of a prompt: `[L, text_dim]` without padding, L at most
    /// 512, on any device. The text encoder is not touched then.
    Embeddings(Tensor),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Prompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Tokens(ids) => f.debug_tuple("Tokens").field(ids).finish(),
            // A million numbers tell nobody anything.
            Self::Embeddings(text) => write!(f, "Embeddings({})", text.shape()),
        }
    }
}

impl Prompt {
    /// Checks what can be checked before anything is read; `what` is the request's field.
    pub(super) fn check(
        &self,
        what: &'static str,
        text_encoder: Option<&umt5::Config>,
        transformer: &wan::Config,
    ) -> Result<()> {
        let refuse = |why: String| Err(Error::Request { what, why });
        match self {
            Self::Text(text) if !cfg!(feature = "tokenizer") && !text.trim().is_empty() => refuse(
                "this build reads no text; switch the feature `tokenizer` on, or pass token ids or embeddings".into(),
            ),
            Self::Text(_) => Ok(()),
            Self::Tokens(ids) if ids.len() > wan::MAX_TEXT_TOKENS => {
                refuse(format!("{} token ids given, the model reads at most {}", ids.len(), wan::MAX_TEXT_TOKENS))
            }
            Self::Tokens(ids) => match text_encoder {
                Some(config) => config.check_ids(what, ids),
                None => refuse("this pipeline has no text encoder; pass embeddings".into()),
            },
            Self::Embeddings(text) => {
                let width = transformer.text_dim;
                let fits = matches!(text.dims(), &[l, d] if (1..=wan::MAX_TEXT_TOKENS).contains(&l) && d == width);
                if !fits {
                    let (found, most) = (text.shape(), wan::MAX_TEXT_TOKENS);
                    return refuse(format!("embeddings of shape {found} given, expected [1 to {most}, {width}]"));
                }
                if !text.is_finite()? {
                    return refuse("some of the embeddings are not finite numbers; encode the prompt again".into());
                }
                Ok(())
            }
        }
    }
}
