//! Every reader of files on the fuzz targets' seeds and on damaged ones: the fuzzers' work of a few seconds, with no more
//! than a stable compiler. The long runs are those of `.ci/fuzz.sh`.

#[path = "../../fuzz/readers.rs"]
mod readers;

use std::fs;
use std::path::Path;

/// A seed, then the same cut, with flipped bits and spliced with itself, by a generator that is the same every time.
fn smoke(target: &str, read: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(&folder).expect("seeds").map(|entry| entry.expect("a seed").path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    // xorshift64
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    for seed in seeds {
        let seed = fs::read(seed).expect("a seed");
        read(&seed);
        for _ in 0..60 {
            let mut data = seed.clone();
            for _ in 0..=below(3) {
                let at = below(data.len());
                match below(4) {
                    0 => data.truncate(at),
                    1 if at < data.len() => data[at] ^= 1 << below(8),
                    2 if at < data.len() => data[at] = [0, b'9', b'-', b'"', b'}', 0xFF][below(6)],
                    _ => {
                        let from = below(data.len());
                        let piece = data[from..data.len().min(from + below(40))].to_vec();
                        data.splice(at..at, piece);
                    }
                }
            }
            read(&data);
        }
    }
}

#[test]
fn weights() {
    smoke("safetensors", readers::safetensors);
    smoke("index", readers::index);
    smoke("latents", readers::latents);
}

#[test]
fn configurations() {
    smoke("config", readers::config);
    smoke("scheduler", readers::scheduler);
    smoke("defaults", readers::defaults);
}

#[test]
fn tokenizers() {
    smoke("tokenizer", readers::tokenizer);
}

#[test]
fn videos() {
    smoke("comment", readers::comment);
    smoke("recipe", readers::recipe);
}
