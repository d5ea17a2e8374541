//! Mutated files: opened or refused, never a panic, and never read otherwise than by the format's own crate.

use std::fs;

use proptest::prelude::*;
use safetensors::SafeTensors;
use zoetrope::weights::{Mapping, NameTable, Weights};

use crate::support::*;

/// A small valid file with the three dtypes that are read and one that is not.
fn valid() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "a.bias":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]},
        "n.gamma":{"dtype":"F16","shape":[3,1,1],"data_offsets":[28,34]},
        "ids":{"dtype":"I64","shape":[],"data_offsets":[34,42]}}"#;
    join(header, &(0..42).collect::<Vec<u8>>())
}

fn table() -> NameTable {
    let mut table = NameTable::new("Model");
    table.layer("a", &[2, 3]);
    table.vector("n.gamma", &[3, 1, 1]);
    table.list("blocks.", 1, "num_layers");
    table
}

/// One way to damage a file.
#[derive(Clone, Debug)]
enum Mutation {
    /// Turns a bit, at this share of the file's length.
    Bit(u16, u8),
    /// Turns a bit within the header.
    HeaderBit(u16, u8),
    /// Cuts the file.
    Cut(u16),
    /// Adds bytes.
    Grow(Vec<u8>),
    /// Puts bytes in the place of others.
    Splice(u16, u8, Vec<u8>),
    /// Puts one piece of JSON in the place of another, in the header; its length is set right again.
    Swap(u8, u8, u16),
    /// Sets the header's length.
    Length(u64),
}

/// Pieces that a header is made of, and that it should not be made of.
const PIECES: [&str; 34] = [
    "0",
    "1",
    "2",
    "3",
    "24",
    "28",
    "34",
    "42",
    "43",
    "-1",
    "1.5",
    "1e3",
    "18446744073709551615",
    "9223372036854775808",
    "4611686018427387904",
    "\"F32\"",
    "\"F16\"",
    "\"BF16\"",
    "\"I64\"",
    "\"F4\"",
    "\"F8_E4M3\"",
    "\"X\"",
    "\"dtype\"",
    "\"shape\"",
    "\"data_offsets\"",
    "\"a.weight\"",
    "\"a.bias\"",
    "\"blocks.1.x\"",
    "[]",
    "{}",
    "null",
    "[0,0]",
    ",",
    "\"\\ud800\"",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..9);
    prop_oneof![
        2 => (any::<u16>(), 0..8u8).prop_map(|(at, bit)| Mutation::Bit(at, bit)),
        3 => (any::<u16>(), 0..8u8).prop_map(|(at, bit)| Mutation::HeaderBit(at, bit)),
        1 => any::<u16>().prop_map(Mutation::Cut),
        1 => bytes().prop_map(Mutation::Grow),
        2 => (any::<u16>(), 0..9u8, bytes()).prop_map(|(at, len, with)| Mutation::Splice(at, len, with)),
        8 => (0..PIECES.len() as u8, 0..PIECES.len() as u8, any::<u16>()).prop_map(|(a, b, at)| Mutation::Swap(a, b, at)),
        1 => prop_oneof![any::<u64>(), 0..1000u64, Just(100_000_000), Just(100_000_001)].prop_map(Mutation::Length),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let place = |at: u16, len: usize| at as usize * len.saturating_sub(1) / u16::MAX as usize;
    let header =
        bytes.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix).min(bytes.len() as u64 - 8) as usize);
    match mutation {
        Mutation::Bit(..) | Mutation::HeaderBit(..) if bytes.is_empty() => {}
        &Mutation::Bit(at, bit) => {
            let at = place(at, bytes.len());
            bytes[at] ^= 1 << bit;
        }
        &Mutation::HeaderBit(at, bit) => {
            let at = (8 + place(at, header)).min(bytes.len() - 1);
            bytes[at] ^= 1 << bit;
        }
        &Mutation::Cut(at) => bytes.truncate(place(at, bytes.len())),
        Mutation::Grow(with) => bytes.extend(with),
        Mutation::Splice(at, len, with) => {
            let at = place(*at, bytes.len());
            let end = (at + *len as usize).min(bytes.len());
            bytes.splice(at..end, with.iter().copied());
        }
        &Mutation::Swap(from, to, nth) => {
            let (Some(text), from) = (bytes.get(8..8 + header), PIECES[from as usize]) else { return };
            let Ok(text) = std::str::from_utf8(text) else { return };
            let places: Vec<usize> = text.match_indices(from).map(|(at, _)| at).collect();
            let Some(&at) = places.get(nth as usize % places.len().max(1)) else { return };
            let text = format!("{}{}{}", &text[..at], PIECES[to as usize], &text[at + from.len()..]);
            *bytes = join(&text, &bytes[8 + header..]);
        }
        Mutation::Length(length) => {
            let len = bytes.len().min(8);
            bytes[..len].copy_from_slice(&length.to_le_bytes()[..len]);
        }
    }
}

/// Opens the bytes from disk and from memory, reads whatever is there, and compares with the format's own crate.
fn examine(folder: &Temp, bytes: &[u8]) {
    let path = folder.path("m.safetensors");
    fs::write(&path, bytes).unwrap();
    let theirs = SafeTensors::deserialize(bytes);
    let memory = Weights::from_bytes("m.safetensors", bytes.to_vec());
    for ours in [Mapping::Map, Mapping::Read].map(|mapping| Weights::open(&path, mapping)).into_iter().chain([memory]) {
        match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                for (name, view) in theirs.tensors() {
                    match ours.get(&name) {
                        Ok(weight) => {
                            assert_eq!(weight.bytes(), view.data());
                            assert_eq!(weight.shape().dims(), view.shape());
                            assert_eq!(weight.to_vec().len(), weight.shape().numel());
                        }
                        Err(error) => {
                            let text = error.to_string();
                            assert!(text.contains("is stored as") || text.contains("axes, more than 5"), "{text}");
                        }
                    }
                }
            }
            // Stricter in these alone.
            (Err(error), Ok(_)) => {
                let text = error.to_string();
                let known = ["is in the file's header twice", "more than 16 axes", "is empty"];
                assert!(known.iter().any(|known| text.contains(known)), "{text}");
            }
            (Ok(_), Err(error)) => panic!("opened what is refused with {error}"),
            (Err(_), Err(_)) => {}
        }
        if let Ok(weights) = ours
            && let Ok((weights, _)) = weights.checked(&table())
        {
            weights.matrix("a.weight", &[2, 3]).unwrap();
            weights.vector("n.gamma", 3).unwrap();
            weights.check_unchanged().unwrap();
        }
    }
}

#[test]
fn the_valid_file_opens() {
    let folder = Temp::new();
    let path = folder.path("m.safetensors");
    fs::write(&path, valid()).unwrap();
    let (_, warnings) = Weights::open(&path, Mapping::Map).unwrap().checked(&table()).unwrap();
    assert_eq!(warnings.len(), 1);
    examine(&folder, &valid());
}

#[test]
fn mutated_files_never_panic() {
    let folder = Temp::new();
    let config = ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(mutations in prop::collection::vec(mutation(), 1..4))| {
        let mut bytes = valid();
        for one in &mutations {
            mutate(&mut bytes, one);
        }
        examine(&folder, &bytes);
    });
}

/// The small files of a checkpoint: configurations and the index of shards.
#[test]
fn mutated_json_never_panics() {
    const FILES: [&str; 5] = [
        "model_index.json",
        "vae/config.json",
        "transformer/config.json",
        "text_encoder/config.json",
        "vae/diffusion_pytorch_model.safetensors.index.json",
    ];
    let folder = checkpoint();
    shard(&folder, VAE);
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let edits = prop::collection::vec((any::<u16>(), 0..12usize, prop::sample::select(PIECES.to_vec())), 1..4);
    proptest!(config, |(file in prop::sample::select(FILES.to_vec()), edits in edits)| {
        let before = fs::read(folder.path(file)).unwrap();
        let mut bytes = before.clone();
        for (at, len, piece) in edits {
            let at = at as usize * bytes.len() / (u16::MAX as usize + 1);
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        fs::write(folder.path(file), bytes).unwrap();
        drop(open(&folder, Mapping::Map));
        fs::write(folder.path(file), before).unwrap();
    });
    open(&folder, Mapping::Map).unwrap();
}

/// Every value of every configuration in turn, replaced by ones that are too large, too small or of another kind.
#[test]
fn every_key_survives_every_value() {
    use serde_json::{Value, json};
    let folder = checkpoint();
    let values = [
        json!(null),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(u64::MAX),
        json!(1_u64 << 32),
        json!(65536),
        json!(1e300),
        json!(0.5),
        json!(true),
        json!("x"),
        json!([]),
        json!([0]),
        json!([1, 1, 1, 1, 1, 1, 1, 1, 1]),
        json!([u64::MAX, u64::MAX, u64::MAX]),
        json!({}),
    ];
    for file in ["vae/config.json", "transformer/config.json", "text_encoder/config.json", "model_index.json"] {
        let path = folder.path(file);
        let before = fs::read(&path).unwrap();
        let Value::Object(object) = serde_json::from_slice(&before).unwrap() else { panic!("no object") };
        let absent = [
            "decoder_base_dim",
            "attn_scales",
            "is_residual",
            "patch_size",
            "eps",
            "layer_norm_epsilon",
            "rope_max_seq_len",
            "relative_attention_num_buckets",
            "relative_attention_max_distance",
            "out_channels",
        ];
        for key in object.keys().map(String::as_str).chain(absent) {
            for value in &values {
                let mut changed = object.clone();
                changed.insert(key.to_owned(), value.clone());
                write_json(&path, &Value::Object(changed));
                drop(open(&folder, Mapping::Map));
            }
        }
        fs::write(&path, before).unwrap();
    }
    open(&folder, Mapping::Map).unwrap();
}
