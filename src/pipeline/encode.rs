//! Prompts to token ids to embeddings.

use super::open::Pipeline;
use super::progress::OnProgress;
#[cfg(feature = "tokenizer")]
use super::progress::Progress;
use super::prompt::Prompt;
use super::stage::Stage;
use crate::device::Device;
use crate::error::{Error, Result};
#[cfg(feature = "tokenizer")]
use crate::models::wan;
use crate::tensor::Tensor;
#[cfg(feature = "tokenizer")]
use crate::text;

impl Pipeline {
    /// Text embeddings `[L, text_dim]` of prompts, without padding; those that are given are brought to the device. The
    /// text encoder is loaded only if there is anything to encode.
    ///
    /// # Errors
    /// [`Error::Request`], [`Error::Tokenizer`], [`Error::Checkpoint`], [`Error::NotFinite`], [`Error::OutOfMemory`],
    /// [`Error::Cancelled`].
    pub fn encode(&self, device: &Device, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Tensor>> {
        let ids = self.ids(prompts, progress)?;
        let wanted: Vec<&[u32]> = ids.iter().flatten().map(Vec::as_slice).collect();
        let mut encoded = self.encode_ids(device, &wanted, progress)?.into_iter();
        let texts = prompts.iter().map(|prompt| match prompt {
            Prompt::Embeddings(text) => text.to_device(device),
            _ => Ok(encoded.next().expect("a prompt that has ids was encoded")),
        });
        texts.collect()
    }

    fn encode_ids(&self, device: &Device, ids: &[&[u32]], progress: OnProgress) -> Result<Vec<Tensor>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let encoder = self.text_encoder(device, progress)?;
        let mut texts = Vec::new();
        for ids in ids {
            let text = encoder.forward(device, ids)?;
            if !text.is_finite()? {
                return Err(device.examine((Stage::TextEncoder.name(), None), || encoder.forward(device, ids)));
            }
            texts.push(text);
        }
        drop(encoder);
        device.release_unused();
        Ok(texts)
    }

    /// The token ids of prompts, each with the end token; what was cut off a text comes as progress.
    ///
    /// tokenizer.json is read once a call, and only if there is text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file does not cover a text, [`Error::Request`] if ids are too many or a prompt is
    /// embeddings, which have no ids.
    pub fn tokenize(&self, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Vec<u32>>> {
        let none = || Error::Request { what: "prompt", why: "it is embeddings, which have no token ids".into() };
        self.ids(prompts, progress)?.into_iter().map(|ids| ids.ok_or_else(none)).collect()
    }

    /// The ids of each prompt that is not embeddings.
    #[cfg_attr(not(feature = "tokenizer"), expect(unused_variables, reason = "only text can be too long"))]
    pub(super) fn ids(&self, prompts: &[&Prompt], progress: OnProgress) -> Result<Vec<Option<Vec<u32>>>> {
        let transformer = &self.components().need_transformer()?.config;
        let text_encoder = self.components().text_encoder.as_ref().map(|model| &model.config);
        for prompt in prompts {
            prompt.check("prompt", text_encoder, transformer)?;
        }
        #[cfg(feature = "tokenizer")]
        let tokenizer = std::cell::OnceCell::new();
        let ids = |(index, prompt): (usize, &&Prompt)| match prompt {
            #[cfg(feature = "tokenizer")]
            Prompt::Text(prompt) => {
                let tokenizer = match tokenizer.get() {
                    Some(tokenizer) => tokenizer,
                    None => {
                        let file = self.checkpoint().tokenizer_path()?;
                        let bytes = self.checkpoint().read(&file, text::LARGEST_FILE)?;
                        let read = text::Tokenizer::from_bytes(&bytes, &file)?;
                        tokenizer.get_or_init(|| read)
                    }
                };
                let tokens = tokenizer.encode(&text::clean(prompt), wan::MAX_TEXT_TOKENS)?;
                if let Some(text) = tokens.cut {
                    progress(Progress::PromptCut { prompt: index, text });
                }
                Ok(Some(tokens.ids))
            }
            #[cfg(not(feature = "tokenizer"))]
            Prompt::Text(_) => Ok(Some(vec![self.components().need_text_encoder()?.config.end_token()])),
            Prompt::Tokens(ids) => Ok(Some(ids.clone())),
            Prompt::Embeddings(_) => Ok(None),
        };
        prompts.iter().enumerate().map(ids).collect()
    }
}
