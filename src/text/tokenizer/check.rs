//! What must hold of a tokenizer.json so that the `tokenizers` crate does not panic or allocate without bound.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The sections that are examined; the vocabulary is skipped.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    /// Old files do not say.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// What only a byte-pair model has.
    merges: Option<IgnoredAny>,
}

type Check = Result<(), String>;

/// What is said of a model that is not one of the T5 family's.
pub(super) const NOT_UNIGRAM: &str = "its model is not Unigram, as a text encoder of the T5 family needs";

/// Checks the kind of the model, the character maps of the normalizers and the template of the post-processor.
pub(super) fn check(bytes: &[u8]) -> Check {
    let parts: Parts = serde_json::from_slice(bytes).map_err(|e| format!("it is not a tokenizer.json: {e}"))?;
    if parts.model.kind.is_some_and(|kind| kind != "Unigram") || parts.model.merges.is_some() {
        return Err(NOT_UNIGRAM.to_owned());
    }
    each_of_type(&parts.normalizer, "Precompiled", &|normalizer| {
        let charsmap = normalizer["precompiled_charsmap"].as_str().unwrap_or_default();
        let charsmap = base64::decode(charsmap).map_err(|e| format!("its precompiled_charsmap is not base64: {e}"))?;
        check_charsmap(&charsmap).map_err(|why| format!("its precompiled_charsmap is damaged: {why}"))
    })?;
    each_of_type(&parts.pre_tokenizer, "FixedLength", &|split| match split["length"].as_u64() {
        Some(0) => Err("its pre_tokenizer cuts pieces of length 0".to_owned()),
        _ => Ok(()),
    })?;
    each_of_type(&parts.post_processor, "TemplateProcessing", &check_template)
}

/// Calls `check` on every object of a type, however deep it is.
fn each_of_type(value: &Value, kind: &str, check: &dyn Fn(&Value) -> Check) -> Check {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| each_of_type(item, kind, check)),
        Value::Object(fields) => {
            if fields.get("type").and_then(Value::as_str) == Some(kind) {
                check(value)?;
            }
            fields.values().try_for_each(|field| each_of_type(field, kind, check))
        }
        _ => Ok(()),
    }
}

/// Every special token that the template for one sequence names is defined, and it asks for no second sequence.
fn check_template(template: &Value) -> Check {
    for piece in template["single"].as_array().into_iter().flatten() {
        if piece["Sequence"]["id"] == "B" {
            return Err("its post_processor puts a second sequence into the template for one".to_owned());
        }
        let Some(id) = piece["SpecialToken"]["id"].as_str() else { continue };
        let token = &template["special_tokens"][id];
        let length = |key: &str| token[key].as_array().map(Vec::len);
        if length("ids").is_none() || length("ids") != length("tokens") {
            return Err(format!("its post_processor names the special token {id:?} without defining it"));
        }
    }
    Ok(())
}

/// Walks the whole double array of a character map, so that no text can lead out of it.
///
/// The map is the trie's size in bytes (u32), its units (u32, little endian), then the replacements as text.
/// Source: the format of Darts-clone, which SentencePiece stores.
fn check_charsmap(bytes: &[u8]) -> Result<(), &'static str> {
    let (size, rest) = bytes.split_first_chunk().ok_or("it is empty")?;
    let (trie, replacements) =
        rest.split_at_checked(u32::from_le_bytes(*size) as usize & !3).ok_or("it is shorter than it says")?;
    let replacements = std::str::from_utf8(replacements).map_err(|_| "its replacements are not UTF-8")?;
    let units: Vec<usize> = trie.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
    let offset = |unit: usize| (unit >> 10) << ((unit & (1 << 9)) >> 6);
    let mut seen = vec![false; units.len()];
    let mut open = vec![offset(*units.first().ok_or("its trie is empty")?)];
    while let Some(node) = open.pop() {
        if node | 0xff >= units.len() {
            return Err("its trie leads out of bounds");
        }
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        for label in 1..=0xff {
            let unit = units[node ^ label];
            if unit & (1 << 31 | 0xff) != label {
                continue;
            }
            let next = node ^ label ^ offset(unit);
            if unit & (1 << 8) != 0 {
                let value = units.get(next).ok_or("its trie leads out of bounds")? & !(1 << 31);
                if !replacements.is_char_boundary(value) {
                    return Err("a replacement is out of bounds");
                }
            }
            open.push(next);
        }
    }
    Ok(())
}
