//! `model_index.json`: which pipeline a checkpoint is of, and which classes its components have.

use std::path::Path;

use serde_json::{Map, Value};

use super::{component, json};
use crate::error::{Error, Result};

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

/// Checks the pipeline's class, its components' classes and the options that change what is computed.
pub(super) fn check_index(path: &Path, index: &Map<String, Value>) -> Result<()> {
    let fail = |key: &str, why: String| Err(Error::config(path, key, why));
    match index.get("_class_name") {
        Some(Value::String(class)) if class == "WanPipeline" => {}
        Some(class) => {
            return fail(
                "_class_name",
                format!("only WanPipeline (text to video) is supported, found {}", json::short(class)),
            );
        }
        None => return fail("_class_name", "is missing, expected WanPipeline".to_owned()),
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
    Ok(())
}

/// What to say of a folder without `model_index.json`.
pub(super) fn not_diffusers(found: &[String]) -> String {
    let has = |names: &[&str]| found.iter().any(|name| names.contains(&name.as_str()));
    let ends = |ending: &str| found.iter().any(|name| name.ends_with(ending));
    let advice = if has(&["transformer", "vae", "text_encoder"]) {
        "the components are there, but the index is not: fetch it"
    } else if has(&["config.json"]) {
        "this looks like one component: give the folder above it"
    } else if has(&["Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"]) || ends(".pth") {
        "this looks like Wan's own layout, with pickle files that are refused: fetch the repository whose name ends in -Diffusers"
    } else {
        "expected model_index.json and the folders scheduler, text_encoder, tokenizer, transformer, vae"
    };
    format!(
        "is not a checkpoint in the diffusers layout, it has no model_index.json; {advice}; found {}",
        component::some(found)
    )
}
