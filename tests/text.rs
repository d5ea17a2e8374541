//! Prompts against diffusers 0.42.1: every cleaned string and every id of tests/fixtures/text is equal.
#![cfg(feature = "tokenizer")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zoetrope::models::wan::MAX_TEXT_TOKENS;
use zoetrope::text::{Tokenizer, clean};

#[derive(Deserialize)]
struct Case {
    input: String,
    /// What the reference pipeline makes of it; the input itself if absent.
    cleaned: Option<String>,
    /// Its ids by tokenizer.json.
    current: Vec<u32>,
    /// The same with byte fallback switched on; `current` if absent.
    bytes: Option<Vec<u32>>,
    /// Its ids by tokenizer_older.json.
    older: Vec<u32>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text").join(name)
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(fixture("cases.json")).unwrap()).unwrap();
    assert!(cases.len() >= 500, "{} strings", cases.len());
    cases
}

/// A copy of tokenizer.json with one place edited.
fn edited(name: &str, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(fixture("tokenizer.json")).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text.replace(from, to)).unwrap();
    path
}

fn compare(tokenizer: &Path, expected: impl Fn(&Case) -> &[u32]) {
    let tokenizer = Tokenizer::from_file(tokenizer).unwrap();
    for case in cases() {
        let expected = expected(&case);
        let tokens = tokenizer.encode(&case.input, usize::MAX).unwrap();
        assert_eq!(tokens.ids, expected, "{:?}", case.input);
        assert_eq!(tokens.cut, None);

        let tokens = tokenizer.encode(&case.input, MAX_TEXT_TOKENS).unwrap();
        if expected.len() <= MAX_TEXT_TOKENS {
            assert_eq!(tokens.ids, expected, "{:?}", case.input);
            assert_eq!(tokens.cut, None);
        } else {
            assert_eq!(tokens.ids, [&expected[..MAX_TEXT_TOKENS - 1], &[1]].concat());
            let cut = tokens.cut.unwrap();
            assert!(!cut.is_empty() && case.input.ends_with(&cut), "{cut:?}");
        }
    }
}

#[test]
fn cleaned_strings_are_equal() {
    let mut changed = 0;
    for case in cases() {
        assert_eq!(clean(&case.input), case.cleaned.as_ref().unwrap_or(&case.input).as_str(), "{:?}", case.input);
        changed += usize::from(case.cleaned.is_some());
    }
    assert!(changed >= 300, "only {changed} strings needed cleaning");
}

#[test]
fn ids_are_equal_in_the_current_layout() {
    compare(&fixture("tokenizer.json"), |case| &case.current);
}

#[test]
fn ids_are_equal_with_byte_fallback() {
    let file = edited("bytes.json", r#""byte_fallback":false"#, r#""byte_fallback":true"#);
    compare(&file, |case| case.bytes.as_ref().unwrap_or(&case.current));
}

#[test]
fn ids_are_equal_in_the_older_layout() {
    compare(&fixture("tokenizer_older.json"), |case| &case.older);
}

#[test]
fn truncation_and_padding_in_the_file_change_nothing() {
    let sections = concat!(
        r#""truncation":{"direction":"Left","max_length":4,"strategy":"LongestFirst","stride":0},"#,
        r#""padding":{"strategy":{"Fixed":64},"direction":"Right","pad_to_multiple_of":8,"#,
        r#""pad_id":0,"pad_type_id":0,"pad_token":"<pad>"}"#,
    );
    let file = edited("sections.json", r#""truncation":null,"padding":null"#, sections);
    compare(&file, |case| &case.current);
}

#[test]
fn the_cut_is_named() {
    let tokenizer = Tokenizer::from_file(fixture("tokenizer.json")).unwrap();
    let prompt = "the red fox walks over snow";
    let whole = tokenizer.encode(prompt, MAX_TEXT_TOKENS).unwrap().ids;
    assert_eq!(whole.len(), 7, "one piece a word, and the end");
    let tokens = tokenizer.encode(prompt, 5).unwrap();
    assert_eq!(tokens.ids, [&whole[..4], &[1]].concat());
    assert_eq!(tokens.cut.unwrap().trim_start(), "over snow");
    // An end token that was typed is text.
    let tokens = tokenizer.encode("red fox</s></s>", 3).unwrap();
    assert_eq!(tokens.ids, [&tokenizer.encode("red fox", 3).unwrap().ids[..2], &[1]].concat());
    assert_eq!(tokens.cut.as_deref(), Some("</s></s>"));
    // The end token is kept whatever the limit.
    assert_eq!(tokenizer.encode(prompt, 0).unwrap().ids, [1]);
    assert_eq!(tokenizer.encode("", 0).unwrap().ids, [1]);
    assert_eq!(tokenizer.encode("", 0).unwrap().cut, None);
}

#[test]
fn an_empty_prompt_is_the_end_token() {
    for name in ["tokenizer.json", "tokenizer_older.json"] {
        let tokenizer = Tokenizer::from_file(fixture(name)).unwrap();
        assert_eq!(tokenizer.encode(&clean(" \n\u{a0}"), MAX_TEXT_TOKENS).unwrap().ids, [1]);
    }
}
