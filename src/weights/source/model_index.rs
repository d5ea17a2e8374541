//! `model_index.json`: which pipeline a checkpoint is of, and which classes its components have.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::weights::json;
use crate::weights::warning::Warning;

/// The components of a text-to-video pipeline: name, classes that this engine has, configuration file.
pub(super) const COMPONENTS: [(&str, &[&str], &str); 5] = [
    ("scheduler", &["UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"], "scheduler_config.json"),
    ("text_encoder", &["UMT5EncoderModel"], "config.json"),
    ("tokenizer", &TOKENIZERS, "tokenizer_config.json"),
    ("transformer", &["WanTransformer3DModel"], "config.json"),
    ("vae", &["AutoencoderKLWan"], "config.json"),
];
/// Classes under which the tokenizer is saved; all of them can write the tokenizer.json that is read.
const TOKENIZERS: [&str; 4] = ["T5TokenizerFast", "T5Tokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"];

/// The class of text-to-video pipelines.
const PIPELINE: &str = "WanPipeline";
/// The same pipeline after distillation by distribution matching (FastVideo's FastWan), of the same components.
const DISTILLED: &str = "WanDMDPipeline";

/// Checks the pipeline's class, its components' classes and the options that change what is computed.
pub(super) fn check_index(path: &Path, index: &Map<String, Value>) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let fail = |key: &str, why: String| Err(Error::config(path, key, why));
    match index.get("_class_name") {
        Some(Value::String(class)) if class == PIPELINE => {}
        Some(Value::String(class)) if class == DISTILLED => {
            warnings.push(Warning::Distilled { file: path.to_owned(), class: class.clone() });
        }
        Some(class) => {
            let found = json::short(class);
            return fail("_class_name", format!("only {PIPELINE} (text to video) is supported, found {found}"));
        }
        None => return fail("_class_name", format!("is missing, expected {PIPELINE}")),
    }
    for (component, classes, _) in COMPONENTS {
        let Some(entry) = index.get(component) else {
            return fail(component, format!("is missing, expected a component of class {}", classes[0]));
        };
        let class = entry.get(1).and_then(Value::as_str);
        if !class.is_some_and(|class| classes.contains(&class)) {
            let why =
                format!("expected [library, class] with class {}, found {}", classes.join(" or "), json::short(entry));
            return fail(component, why);
        }
    }
    let unset = |value: &Value| match value {
        Value::Null => true,
        Value::Array(pair) => pair.iter().all(Value::is_null),
        _ => false,
    };
    if let Some(other) = index.get("transformer_2").filter(|value| !unset(value)) {
        return fail(
            "transformer_2",
            format!("a second transformer (Wan2.2) is not supported yet, found {}", json::short(other)),
        );
    }
    if let Some(ratio) = index.get("boundary_ratio").filter(|value| !value.is_null()) {
        return fail(
            "boundary_ratio",
            format!("two transformers (Wan2.2) are not supported yet, found {}", json::short(ratio)),
        );
    }
    if let Some(flag) = index.get("expand_timesteps").filter(|value| !matches!(value, Value::Null | Value::Bool(false)))
    {
        return fail(
            "expand_timesteps",
            format!("a time for each token (Wan2.2 TI2V) is not supported yet, found {}", json::short(flag)),
        );
    }
    Ok(warnings)
}
