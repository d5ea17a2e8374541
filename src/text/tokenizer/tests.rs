use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A file small enough to be read here.
fn sound() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            {"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
             "special": true},
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": null,
        "model": {
            "type": "Unigram", "unk_id": 2, "byte_fallback": false,
            "vocab": [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁", -2.0], ["a", -2.5], ["▁fox", -3.0]],
        },
    })
}

fn load(name: &str, content: &[u8]) -> Result<Tokenizer> {
    let path = std::env::temp_dir().join(format!("zoetrope-tokenizer-{}-{name}.json", std::process::id()));
    std::fs::write(&path, content).unwrap();
    let result = Tokenizer::from_file(&path);
    std::fs::remove_file(&path).unwrap();
    result
}

/// The message of a file that is refused; it names the file and a remedy.
fn refusal(name: &str, content: &[u8]) -> String {
    match load(name, content).unwrap_err() {
        Error::Tokenizer { file, why } => {
            assert!(file.to_string_lossy().contains(name), "{}", file.display());
            assert!(why.contains("download it again"), "{why}");
            why
        }
        other => panic!("{other}"),
    }
}

/// What a hub or an interrupted copy may leave under the name.
#[test]
fn files_of_other_kinds_are_named() {
    for (content, expected) in [
        (
            &b"version https://git-lfs.example/spec/v1\noid sha256:00"[..],
            "is a Git LFS pointer and not the file itself",
        ),
        (b"\n\x0e\n\x05<pad>\x15\0\0\0\0\x18\x03", "is a SentencePiece model and not JSON; take the tokenizer.json"),
        (b"<!DOCTYPE html>", "is an HTML page"),
        (b"GGUF\x03\0\0\0", "is a GGUF file"),
        (b"PK\x03\x04\x14\0", "is a zip archive"),
    ] {
        let why = Tokenizer::from_bytes(content, Path::new("tokenizer.json")).unwrap_err().to_string();
        assert!(why.contains("tokenizer.json: ") && why.contains(expected), "{why}");
    }
}

/// The sound file with one value replaced.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut file = sound();
    *file.pointer_mut(pointer).unwrap() = value;
    file.to_string().into_bytes()
}

fn charsmap(words: &[u32], replacements: &[u8]) -> Value {
    let mut bytes = (words.len() as u32 * 4).to_le_bytes().to_vec();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(replacements);
    json!({"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": base64::encode(bytes)}]})
}

#[test]
fn the_sound_file_is_read() {
    let tokenizer = load("sound", sound().to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("fox a?", 9).unwrap().ids, [5, 3, 4, 2, 1]);
    assert_eq!(tokenizer.encode("", 9).unwrap().ids, [1]);
    assert!(format!("{tokenizer:?}").contains("sound"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Tokenizer::from_file("no/such/tokenizer.json").unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("no/such/tokenizer.json"), "{error}");
}

#[test]
fn garbage_is_refused() {
    let deep = "[".repeat(100_000);
    let deep_normalizer = format!("{{\"normalizer\":{deep}");
    for (name, content) in [
        ("empty", &b""[..]),
        ("null", b"null"),
        ("list", b"[]"),
        ("object", b"{}"),
        ("binary", b"\xff\xfe\0\x01"),
        ("half", &sound().to_string().as_bytes()[..300]),
        ("deep", deep.as_bytes()),
        ("deep-normalizer", deep_normalizer.as_bytes()),
        ("pointer", b"version https://git-lfs.github.com/spec/v1\n"),
    ] {
        refusal(name, content);
    }
}

#[test]
fn other_models_and_broken_parts_are_refused() {
    for (name, pointer, value, expected) in [
        (
            "words",
            "/model",
            json!({"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}),
            "not Unigram",
        ),
        ("type", "/model/type", json!("Bigram"), ""),
        ("no-words", "/model/vocab", json!([]), ""),
        ("unk", "/model/unk_id", json!(6), "UnkIdNotInVocabulary"),
        ("no-unk", "/model/unk_id", json!(null), "unk_id"),
        ("score", "/model/vocab/4/1", json!("x"), ""),
        ("no-end", "/post_processor", json!(null), "end token"),
        ("undefined", "/post_processor/special_tokens", json!({}), "without defining it"),
        ("uneven", "/post_processor/special_tokens/<~1s>/tokens", json!([]), "without defining it"),
        ("second", "/post_processor/single/0/Sequence/id", json!("B"), "second sequence"),
        ("pattern", "/normalizer", json!({"type": "Replace", "pattern": {"Regex": "("}, "content": ""}), ""),
        ("base64", "/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "*"}), "not base64"),
        ("no-map", "/normalizer", json!({"type": "Precompiled"}), "damaged"),
        ("chunk", "/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "length 0"),
        ("pairs", "/model", json!({"vocab": {"a": 0}, "merges": []}), "not Unigram"),
    ] {
        let why = refusal(name, &with(pointer, value));
        assert!(why.contains(expected), "{name}: {why}");
    }
}

#[test]
fn an_added_token_that_normalization_empties_is_refused() {
    let mut file = sound();
    file["normalizer"] = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    file["added_tokens"][0]["normalized"] = json!(true);
    load("stripped", file.to_string().as_bytes()).unwrap();
    file["added_tokens"][0]["content"] = json!(" ");
    let why = refusal("blank", file.to_string().as_bytes());
    assert!(why.contains("added token \" \""), "{why}");
}

#[test]
fn damaged_character_maps_are_refused() {
    // A unit that leads from the root to label 1 as a leaf: the value is 0x1ff bytes behind the replacements.
    let mut leaf = vec![0; 512];
    leaf[1] = (256 << 10) | 1 << 8 | 1;
    leaf[257 ^ 1 ^ 1] = 1 << 31 | 9;
    let mut astray = leaf.clone();
    astray[1] = (4096 << 10) | 1;
    for (name, map) in [
        ("trie", charsmap(&[], b"")),
        ("short", charsmap(&[0; 255], b"")),
        ("text", charsmap(&[0; 256], b"\xff")),
        ("value", charsmap(&leaf, b"x\0")),
        ("middle", charsmap(&leaf, "12345678é\0".as_bytes())),
        ("astray", charsmap(&astray, b"")),
        ("bomb", json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(u32::MAX.to_le_bytes())})),
    ] {
        let why = refusal(name, &with("/normalizer", map));
        assert!(why.contains("precompiled_charsmap is damaged"), "{name}: {why}");
    }
    load("harmless", &with("/normalizer", charsmap(&[0; 256], b""))).unwrap();
}

proptest! {
    #[test]
    fn any_text_is_encoded(text in any::<String>(), limit in 0_usize..20) {
        let tokenizer = load("any", sound().to_string().as_bytes()).unwrap();
        let tokens = tokenizer.encode(&text, limit).unwrap();
        prop_assert!(tokens.ids.len() <= limit.max(1));
        prop_assert_eq!(tokens.ids.last(), Some(&1));
        prop_assert!(tokens.cut.is_none_or(|cut| text.ends_with(&cut)));
    }

    #[test]
    fn a_file_with_any_bytes_changed_is_read_or_refused(at in any::<prop::sample::Index>(), bytes in any::<[u8; 3]>()) {
        let mut content = sound().to_string().into_bytes();
        let at = at.index(content.len() - 3);
        content[at..at + 3].copy_from_slice(&bytes);
        match load("changed", &content) {
            Ok(tokenizer) => {
                // Only a text that it does not cover may fail.
                let _ = tokenizer.encode("a fox 漢", 9);
            }
            Err(error) => prop_assert!(matches!(error, Error::Tokenizer { .. }), "{error}"),
        }
    }

    #[test]
    fn any_character_map_is_read_or_refused(words in prop::collection::vec(any::<u32>(), 0..300), text in any::<String>()) {
        if let Ok(tokenizer) = load("map", &with("/normalizer", charsmap(&words, b"abc\0def\0"))) {
            tokenizer.encode(&text, 9).unwrap();
        }
    }
}
