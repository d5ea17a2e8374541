//! `zoetrope.json`: what a checkpoint is best run with, and what is refused.

mod checkpoints;

use std::fs;

use checkpoints::{Copy, files, fixture};
use proptest::prelude::*;
use zoetrope::weights::{Checkpoint, Mapping, Warning};
use zoetrope::{Error, Pipeline, Prompt, Result, Steps};

fn open(json: impl AsRef<[u8]>) -> Result<Pipeline> {
    let file = ("zoetrope.json".to_owned(), json.as_ref().to_vec());
    Pipeline::from_checkpoint(Checkpoint::from_memory("b", files(&fixture("b")).into_iter().chain([file]))?)
}

#[test]
fn without_the_file_they_are_wans() {
    let pipeline = Pipeline::open(fixture("b"), Mapping::Map).unwrap();
    let defaults = pipeline.defaults();
    assert_eq!((defaults.width, defaults.height, defaults.frames, defaults.fps), (832, 480, 81, 16.into()));
    assert_eq!((defaults.steps, defaults.guidance, defaults.zoom), (50, 5.0, 1));
    // Wan's negative prompt is for Wan's vocabulary.
    assert_eq!((defaults.negative_prompt.as_str(), &defaults.known_words), ("", &None));
    assert_eq!(open("{}").unwrap().defaults(), defaults);
    let nulls = r#"{"size": null, "frames": null, "fps": null, "steps": null, "guidance": null,
        "negative_prompt": null, "known_words": null, "zoom": null}"#;
    assert_eq!(open(nulls).unwrap().defaults(), defaults);
}

#[test]
fn every_key_is_read_and_fills_a_request() {
    let pipeline = open(
        r#"{"size": "80x48", "frames": 5, "fps": 12, "steps": 4, "guidance": 4.5, "negative_prompt": "rain",
            "known_words": ["a", "boat"], "zoom": 3}"#,
    )
    .unwrap();
    assert!(pipeline.warnings().is_empty(), "{:?}", pipeline.warnings());
    let defaults = pipeline.defaults();
    assert_eq!((defaults.known_words.as_deref(), defaults.zoom), (Some(&["a".into(), "boat".into()][..]), 3));
    let request = pipeline.request("two boats on a lake");
    assert_eq!((request.width, request.height, request.frames, request.fps), (80, 48, 5, 12.into()));
    assert_eq!((request.guidance, request.seed), (4.5, 0));
    assert!(matches!(request.steps, Steps::Schedule { steps: 4, shift: None, .. }));
    assert!(matches!(&request.prompt, Prompt::Text(text) if text == "two boats on a lake"));
    assert!(matches!(&request.negative_prompt, Prompt::Text(text) if text == "rain"));
    assert_eq!(pipeline.check(&request).is_ok(), cfg!(feature = "tokenizer"));
}

#[test]
fn keys_that_are_not_known_are_one_warning() {
    let pipeline = open(r#"{"frame": 5, "sise": "80x48", "steps": 4, "a\n": {}}"#).unwrap();
    assert_eq!(pipeline.defaults().steps, 4);
    let [warning @ Warning::UnknownKeys { .. }] = pipeline.warnings() else { panic!("{:?}", pipeline.warnings()) };
    let text = warning.to_string();
    assert!(text.ends_with(r"zoetrope.json: keys that are not known and not used: a\n, frame, sise"), "{text}");
}

#[test]
fn what_no_request_could_ask_for_is_refused_by_its_key() {
    for (json, expected) in [
        (r#"{"size": [80, 48]}"#, r#"size: expected "WIDTHxHEIGHT" in pixels, such as "832x480", found [80,48]"#),
        (r#"{"size": "80"}"#, r#"size: expected "WIDTHxHEIGHT""#),
        (r#"{"size": "-80x48"}"#, r#"size: expected "WIDTHxHEIGHT""#),
        (r#"{"size": "81x48"}"#, "size: width: 81 is no multiple of 16; the nearest is 80"),
        (r#"{"size": "80x99999"}"#, "size: height: 99999 is too many; at most"),
        (r#"{"frames": 6}"#, "frames: 6 is not one of 1, 5, 9, ...; the nearest is 5"),
        (r#"{"frames": 5.5}"#, "frames: expected a whole number, such as 81, found 5.5"),
        (r#"{"frames": 18446744073709551615}"#, "frames: 18446744073709551615 is too many"),
        (r#"{"fps": 0}"#, "fps: expected a whole number from 1 to 240, such as 16, found 0"),
        (r#"{"fps": 4294967312}"#, "fps: expected a whole number from 1 to 240"),
        (r#"{"steps": 0}"#, "steps: 0 steps asked for: there must be 1 to 1000"),
        (r#"{"steps": "50"}"#, r#"steps: expected a whole number, such as 50, found "50""#),
        (r#"{"guidance": "5"}"#, r#"guidance: expected a number, such as 5.0, found "5""#),
        (r#"{"guidance": 1e200}"#, "guidance: inf is not a finite number"),
        (r#"{"negative_prompt": 5}"#, "negative_prompt: expected a text, which may be empty, found 5"),
        (r#"{"known_words": "boat"}"#, "known_words: expected a list of words"),
        (r#"{"known_words": ["boat", 5]}"#, r#"known_words: expected a list of words, such as ["a", "boat"], found"#),
        (r#"{"zoom": 65}"#, "zoom: expected a whole number from 1 to 64, such as 1, found 65"),
    ] {
        let error = open(json).err().unwrap_or_else(|| panic!("{json} is accepted"));
        assert!(matches!(error, Error::Config { .. }), "{json}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("zoetrope.json, ") && text.contains(expected), "{json}: {text}");
    }
}

#[test]
fn a_file_that_is_no_object_is_refused() {
    let long = vec![b' '; (1 << 20) + 1];
    let deep = "[".repeat(1 << 19);
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"[]", "is not a JSON object"),
        (b"{", "is not the JSON that is expected"),
        (b"{\"a\": \"\xff\"}", "is not UTF-8"),
        (&long, "is longer than the 1048576 bytes"),
        (deep.as_bytes(), "recursion"),
    ] {
        let error = open(bytes).err().expect("it is damaged");
        assert!(matches!(error, Error::Checkpoint { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("zoetrope.json: ") && text.contains(expected), "{text}");
    }
    let checkpoint = Copy::of("b");
    fs::create_dir(checkpoint.file("zoetrope.json")).unwrap();
    let text = Pipeline::open(&checkpoint.0, Mapping::Map).err().expect("it is a folder").to_string();
    assert!(text.contains("zoetrope.json: is a folder where a file is expected"), "{text}");
}

/// Wan's negative prompt comes with Wan's vocabulary, unless the file says otherwise.
#[test]
fn the_negative_prompt_goes_with_the_vocabulary() {
    const SHARED: &str = "shared.weight";
    let mut files = files(&fixture("f"));
    let mut edit = |name: &str, edit: &dyn Fn(&[u8]) -> Vec<u8>| {
        let (_, bytes) = files.iter_mut().find(|(path, _)| path == name).unwrap();
        *bytes = edit(bytes);
    };
    edit("text_encoder/config.json", &|bytes| {
        let mut config: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        config["vocab_size"] = 256_384.into();
        config.to_string().into_bytes()
    });
    edit("text_encoder/model.safetensors", &|bytes| {
        let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let width = tensors.tensor(SHARED).unwrap().shape()[1];
        let embedding = vec![0; 256_384 * width * 2];
        let shared = safetensors::tensor::TensorView::new(safetensors::Dtype::F16, vec![256_384, width], &embedding);
        let all = tensors.tensors().into_iter().filter(|(name, _)| name != SHARED);
        safetensors::serialize(all.chain([(SHARED.to_owned(), shared.unwrap())]), None).unwrap()
    });
    let negative = |json: &str| {
        let file = ("zoetrope.json".to_owned(), json.as_bytes().to_vec());
        let checkpoint = Checkpoint::from_memory("f", files.iter().cloned().chain([file])).unwrap();
        Pipeline::from_checkpoint(checkpoint).unwrap().defaults().negative_prompt.clone()
    };
    let wans = negative(r#"{"steps": 5}"#);
    assert!(wans.starts_with("色调艳丽，过曝，") && wans.ends_with("，倒着走"), "{wans}");
    assert_eq!(negative(r#"{"negative_prompt": ""}"#), "");
}

/// Whatever stands in the file: it opens, or it is refused.
#[test]
fn mutated_files_never_panic() {
    const VALID: &str = r#"{"size": "80x48", "frames": 5, "fps": 12, "steps": 4, "guidance": 4.5, "negative_prompt": "a",
        "known_words": ["a", "boat"], "zoom": 3}"#;
    const PIECES: [&str; 16] = [
        "0",
        "-1",
        "1e999",
        "18446744073709551616",
        "4.5",
        "\"80x48\"",
        "\"18446744073709551615x16\"",
        "\"x\"",
        "\"\\ud800\"",
        "null",
        "[]",
        "{}",
        "\"frames\"",
        ",",
        "\u{ff}",
        "",
    ];
    let files = files(&fixture("b"));
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let edits = prop::collection::vec((any::<u16>(), 0..12usize, prop::sample::select(PIECES.to_vec())), 1..4);
    proptest!(config, |(edits in edits)| {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, len, piece) in edits {
            let at = at as usize * bytes.len() / (u16::MAX as usize + 1);
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        let file = ("zoetrope.json".to_owned(), bytes);
        let checkpoint = Checkpoint::from_memory("b", files.iter().cloned().chain([file])).unwrap();
        match Pipeline::from_checkpoint(checkpoint) {
            Ok(_) | Err(Error::Config { .. } | Error::Checkpoint { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    });
}
