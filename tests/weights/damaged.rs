//! Checkpoints that are refused: each with the words that say what is wrong and where.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use zoetrope::Error;
use zoetrope::weights::{Checkpoint, Mapping};

use crate::support::*;

/// A damage, what is done to a tiny checkpoint, and what the message must contain.
type Case = (&'static str, fn(&Temp), &'static [&'static str]);

/// Opens the damaged checkpoint on disk and in memory and checks that the messages contain `expected`.
fn check(cases: &[Case]) {
    for (name, damage, expected) in cases {
        let folder = checkpoint();
        damage(&folder);
        // Memory has no empty folders.
        let memory = (!name.ends_with("a folder")).then(|| open_in_memory(&folder));
        for opened in [Mapping::Map, Mapping::Read].map(|mapping| open(&folder, mapping)).into_iter().chain(memory) {
            let Err(error) = opened else { panic!("{name}: opened") };
            assert!(
                matches!(error, Error::Checkpoint { .. } | Error::Config { .. } | Error::Io { .. }),
                "{name}: {error:?}"
            );
            let text = error.to_string();
            for part in *expected {
                assert!(text.contains(part), "{name}: {part:?} is not in {text:?}");
            }
        }
    }
}

const Q: &str = "blocks.0.attn1.to_q.weight";

fn edit_entry(folder: &Temp, key: &str, value: Value) {
    edit_tensors(&folder.path(TRANSFORMER), |header, _| header[Q][key] = value);
}

fn write(folder: &Temp, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.path(name), bytes).unwrap();
}

/// A header of this length and nothing else.
fn claim(folder: &Temp, header: u64) {
    let mut bytes = header.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[b' '; 100]);
    write(folder, TRANSFORMER, bytes);
}

#[test]
fn damaged_files() {
    check(&[
        (
            "empty file",
            |f| write(f, TRANSFORMER, ""),
            &["transformer/diffusion_pytorch_model.safetensors: is empty", "fetch it again"],
        ),
        ("four bytes", |f| write(f, TRANSFORMER, [1, 0, 0, 0]), &["is 4 bytes long, too short"]),
        ("only a prefix", |f| claim(f, 101), &["cut short: its header ends at byte 109, the file at byte 108"]),
        (
            "header bomb",
            |f| claim(f, 100_000_001),
            &["claims a header of 100000001 bytes, the format allows 100000000"],
        ),
        ("header of all bits", |f| claim(f, u64::MAX), &["claims a header of 18446744073709551615 bytes"]),
        ("header of spaces", |f| claim(f, 100), &["header is not a JSON object"]),
        ("empty header", |f| write(f, TRANSFORMER, [0; 8]), &["header is not a JSON object"]),
        (
            "Git LFS pointer",
            |f| write(f, TRANSFORMER, "version https://git-lfs.example/spec/v1\noid sha256:00\nsize 12\n"),
            &["is a Git LFS pointer", "git lfs pull"],
        ),
        (
            "a web page",
            |f| write(f, TRANSFORMER, "<!DOCTYPE html><html></html>"),
            &["is an HTML page and not a safetensors file", "hub's client"],
        ),
        ("GGUF", |f| write(f, TRANSFORMER, b"GGUF\x03\0\0\0\0"), &["is a GGUF file", "GGUF is not read"]),
        ("a zip", |f| write(f, VAE, b"PK\x03\x04\x14\0\0\0"), &["vae", "is a zip archive"]),
        ("a pickle", |f| write(f, TEXT, b"\x80\x02}q\0."), &["is a pickle", "safe_serialization"]),
        (
            "an answer of a hub",
            |f| write(f, TEXT, "Entry not found"),
            &["is text, \"Entry not found\"", "fetch the file"],
        ),
        ("not UTF-8", |f| write(f, TRANSFORMER, [2, 0, 0, 0, 0, 0, 0, 0, b'{', 0xff]), &["header is not UTF-8"]),
        ("not JSON", |f| write(f, TRANSFORMER, join("{\"a\":", &[])), &["header cannot be read", "EOF"]),
        ("an array", |f| write(f, TRANSFORMER, join("[]", &[])), &["header is not a JSON object"]),
        ("two objects", |f| write(f, TRANSFORMER, join("{}{}", &[])), &["header cannot be read", "trailing"]),
        (
            "deep nesting",
            |f| write(f, TRANSFORMER, join(&format!("{{\"__metadata__\":{}", "[".repeat(10_000)), &[])),
            &["header cannot be read"],
        ),
        (
            "no tensors",
            |f| write(f, TRANSFORMER, join("{}", &[])),
            &["is missing", "and so are", "no tensor is there at all"],
        ),
        (
            "cut short",
            |f| {
                let bytes = fs::read(f.path(TRANSFORMER)).unwrap();
                write(f, TRANSFORMER, &bytes[..bytes.len() - 1]);
            },
            &["tensor scale_shift_table: its bytes", "the file is cut short or damaged", "fetch it again"],
        ),
        (
            "bytes at the end",
            |f| edit_tensors(&f.path(TRANSFORMER), |_, data| data.extend([0; 3])),
            &["its last 3 bytes belong to no tensor"],
        ),
        (
            "a folder",
            |f| {
                fs::remove_file(f.path(TRANSFORMER)).unwrap();
                fs::create_dir(f.path(TRANSFORMER)).unwrap();
            },
            &["diffusion_pytorch_model.safetensors: is a folder where a file is expected"],
        ),
    ]);
}

#[test]
fn damaged_entries() {
    check(&[
        (
            "overlap",
            |f| {
                edit_tensors(&f.path(TRANSFORMER), |header, data| {
                    let start = offsets(&header[Q])[0] - 4;
                    header[Q]["data_offsets"] = json!([start, start + 12 * 12 * 4]);
                    let _ = data;
                })
            },
            &[".safetensors, tensor ", "overlap those of another tensor"],
        ),
        (
            "hole",
            |f| {
                edit_tensors(&f.path(TRANSFORMER), |header, data| {
                    let end = data.len();
                    data.resize(end + 8 + 12 * 12 * 4, 0);
                    add(
                        header,
                        "z",
                        json!({ "dtype": "F32", "shape": [144], "data_offsets": [end + 8, end + 8 + 576] }),
                    );
                })
            },
            &["tensor z: 8 bytes before it belong to no tensor"],
        ),
        (
            "end before start",
            |f| edit_entry(f, "data_offsets", json!([8, 4])),
            &[Q, "its bytes end (4) before they start (8)"],
        ),
        (
            "past the end",
            |f| edit_entry(f, "data_offsets", json!([0, u64::MAX])),
            &[Q, "0..18446744073709551615 are outside the file's"],
        ),
        ("negative offset", |f| edit_entry(f, "data_offsets", json!([-4, 572])), &[Q, "header cannot be read", "-4"]),
        ("one offset", |f| edit_entry(f, "data_offsets", json!([0])), &[Q, "header cannot be read"]),
        (
            "other size",
            |f| edit_entry(f, "dtype", json!("F16")),
            &[Q, "F16 [12, 12] takes 288 bytes, the header gives it 576"],
        ),
        (
            "part of a byte",
            |f| add_tensor(&f.path(TRANSFORMER), "q", "F4", &[3], 1),
            &["tensor q: F4 [3] takes 2 bytes, the header gives it 1"],
        ),
        ("shape overflow", |f| edit_entry(f, "shape", json!([1_u64 << 40, 1_u64 << 40])), &[Q, "overflows"]),
        ("wraps to its size", |f| edit_entry(f, "shape", json!([1_u64 << 60, 144])), &[Q, "overflows"]),
        (
            "axis of zero",
            |f| edit_entry(f, "shape", json!([12, 0])),
            &[Q, "F32 [12, 0] takes 0 bytes, the header gives it 576"],
        ),
        (
            "nothing where a matrix is needed",
            |f| {
                remove_tensor(&f.path(TRANSFORMER), Q);
                add_tensor(&f.path(TRANSFORMER), Q, "F32", &[0], 0);
            },
            &[Q, "expected [12, 12], found [0]"],
        ),
        ("many axes", |f| edit_entry(f, "shape", json!(vec![1; 17])), &[Q, "a shape of more than 16 axes"]),
        ("axis not a number", |f| edit_entry(f, "shape", json!([12, "12"])), &[Q, "header cannot be read"]),
        ("axis a fraction", |f| edit_entry(f, "shape", json!([12.5, 12])), &[Q, "header cannot be read"]),
        (
            "no dtype",
            |f| {
                edit_tensors(&f.path(TRANSFORMER), |header, _| {
                    header[Q].as_object_mut().unwrap().remove("dtype");
                })
            },
            &[Q, "missing field `dtype`"],
        ),
        (
            "unknown dtype",
            |f| edit_entry(f, "dtype", json!("F\u{1b}9")),
            &[Q, "dtype F\\u{1b}9 is not known; F32, F16 and BF16 are read"],
        ),
        (
            "an entry that is a list",
            |f| edit_tensors(&f.path(TRANSFORMER), |header, _| header[Q] = json!(3)),
            &[Q, "header cannot be read"],
        ),
        (
            "twice",
            |f| {
                let (header, data) = split(&fs::read(f.path(TRANSFORMER)).unwrap());
                let text = Value::Object(header.clone()).to_string();
                let again = format!("{{\"{Q}\":{},{}", header[Q], &text[1..]);
                write(f, TRANSFORMER, join(&again, &data));
            },
            &[Q, "is in the file's header twice"],
        ),
    ]);
}

fn add(header: &mut serde_json::Map<String, Value>, name: &str, entry: Value) {
    header.insert(name.to_owned(), entry);
}

#[test]
fn tensors_that_do_not_fit_the_model() {
    check(&[
        (
            "missing",
            |f| drop(remove_tensor(&f.path(TRANSFORMER), Q)),
            &[
                "transformer/diffusion_pytorch_model.safetensors, tensor blocks.0.attn1.to_q.weight: is missing (WanTransformer3DModel expects [12, 12])",
            ],
        ),
        (
            "two missing",
            |f| {
                remove_tensor(&f.path(TEXT), "shared.weight");
                remove_tensor(&f.path(TEXT), "encoder.final_layer_norm.weight");
            },
            &["is missing (UMT5EncoderModel expects [8]), and so are 1 others"],
        ),
        (
            "transposed",
            |f| {
                edit_tensors(&f.path(TRANSFORMER), |header, _| {
                    header["blocks.1.ffn.net.2.weight"]["shape"] = json!([14, 12])
                })
            },
            &["blocks.1.ffn.net.2.weight: expected [12, 14], found [14, 12]", "do not belong together"],
        ),
        (
            "a matrix with an axis more",
            |f| edit_entry(f, "shape", json!([1, 12, 12])),
            &[Q, "expected [12, 12], found [1, 12, 12]"],
        ),
        (
            "a gamma of two axes",
            |f| edit_tensors(&f.path(VAE), |header, _| header["decoder.norm_out.gamma"]["shape"] = json!([2, 2])),
            &["decoder.norm_out.gamma: expected [4, 1, 1, 1], found [2, 2]"],
        ),
        ("integers", |f| edit_entry(f, "dtype", json!("I32")), &[Q, "is stored as I32; F32, F16 and BF16 are read"]),
        (
            "8 bits",
            |f| {
                let end = remove_tensor(&f.path(TRANSFORMER), Q).1.len();
                add_tensor(&f.path(TRANSFORMER), Q, "F8_E4M3", &[12, 12], end / 4);
            },
            &[Q, "is stored as F8_E4M3"],
        ),
        (
            "a block too many",
            |f| add_tensor(&f.path(TRANSFORMER), "blocks.2.scale_shift_table", "F32", &[1], 4),
            &["blocks.2.scale_shift_table: is past num_layers = 2 of config.json"],
        ),
        (
            "a block far too many",
            |f| add_tensor(&f.path(TRANSFORMER), "blocks.99999999999999999999999.x", "F32", &[1], 4),
            &["is past num_layers = 2"],
        ),
        (
            "a text block too many",
            |f| add_tensor(&f.path(TEXT), "encoder.block.2.layer.0.x", "F32", &[1], 4),
            &["is past num_layers = 2"],
        ),
        (
            "a level too many",
            |f| add_tensor(&f.path(VAE), "decoder.up_blocks.2.resnets.0.x", "F32", &[1], 4),
            &["is past the levels of dim_mult = 2"],
        ),
        (
            "a residual block too many",
            |f| add_tensor(&f.path(VAE), "decoder.up_blocks.1.resnets.2.x", "F32", &[1], 4),
            &["is past num_res_blocks + 1 = 2"],
        ),
        (
            "Wan's own names",
            |f| {
                fs::remove_file(f.path(TRANSFORMER)).unwrap();
                // More blocks than the configuration has, besides.
                let tensors = [("blocks.40.modulation", [1, 6, 12].into()), ("head.modulation", [1, 2, 12].into())];
                write_tensors(&f.path(TRANSFORMER), tensors.into_iter());
            },
            &[
                "is missing",
                "the 2 tensors that are there are a WanTransformer3DModel in Wan's own names",
                "-Diffusers",
            ],
        ),
        (
            "names after a prefix",
            |f| {
                edit_tensors(&f.path(TRANSFORMER), |header, _| {
                    *header = header.iter().map(|(name, entry)| (format!("model.{name}"), entry.clone())).collect();
                });
            },
            &["is missing", "WanTransformer3DModel in diffusers' names, each after \"model.\"", "save_pretrained"],
        ),
        (
            "another component's file",
            |f| assert!(fs::copy(f.path(VAE), f.path(TRANSFORMER)).is_ok()),
            &["is missing", "an AutoencoderKLWan in diffusers' names", "in another component's folder"],
        ),
        (
            "a config of another size",
            |f| edit_json(&f.path("vae/config.json"), |c| c["base_dim"] = json!(6)),
            &["decoder.conv_in.bias: expected [12], found [8]"],
        ),
    ]);
}

/// Sets one entry of an index of the transformer's shards.
fn misdirect(folder: &Temp, file: &str) {
    let index = shard(folder, TRANSFORMER);
    edit_json(&index, |index| index["weight_map"][Q] = json!(file));
}

#[test]
fn damaged_indexes() {
    check(&[
        (
            "absolute",
            |f| misdirect(f, "/etc/passwd.safetensors"),
            &["index.json, tensor blocks.0.attn1.to_q.weight", "/etc/passwd.safetensors is an absolute path"],
        ),
        ("upwards", |f| misdirect(f, "../vae/diffusion_pytorch_model.safetensors"), &[Q, "leads out of the folder"]),
        ("upwards from within", |f| misdirect(f, "a/../../b.safetensors"), &[Q, "leads out of the folder"]),
        ("here", |f| misdirect(f, "./a.safetensors"), &[Q, "empty part"]),
        ("backslash", |f| misdirect(f, "..\\a.safetensors"), &[Q, "has a backslash"]),
        ("drive", |f| misdirect(f, "C:a.safetensors"), &[Q, "a colon"]),
        ("zero byte", |f| misdirect(f, "a\u{0}.safetensors"), &[Q, "control character"]),
        ("empty", |f| misdirect(f, ""), &[Q, "empty part"]),
        (
            "pickle",
            |f| misdirect(f, "pytorch_model-00001-of-00002.bin"),
            &[Q, "is a pickle", "save the model as safetensors"],
        ),
        ("no safetensors", |f| misdirect(f, "weights"), &[Q, "is not a .safetensors file"]),
        (
            "missing shard",
            |f| misdirect(f, "other.safetensors"),
            &["transformer/other.safetensors: is missing", "says that it holds 1 tensors"],
        ),
        (
            "in the other shard",
            |f| {
                let index = shard(f, TRANSFORMER);
                let map = read_json(&index)["weight_map"].clone();
                let other = map.as_object().unwrap().values().find(|file| **file != map[Q]).unwrap().clone();
                edit_json(&index, |index| index["weight_map"][Q] = other);
            },
            &["index.json, tensor blocks.0.attn1.to_q.weight: is not in", "where the index lists it"],
        ),
        (
            "in no shard",
            |f| {
                let index = shard(f, TRANSFORMER);
                let map = read_json(&index)["weight_map"].clone();
                remove_tensor(&f.path("transformer").join(map[Q].as_str().unwrap()), Q);
            },
            &[Q, "where the index lists it"],
        ),
        (
            "in both shards",
            |f| {
                shard(f, TRANSFORMER);
                for part in 1..=2 {
                    let name = format!("transformer/diffusion_pytorch_model-0000{part}-of-00002.safetensors");
                    add_tensor(&f.path(&name), "extra", "F32", &[1], 4);
                }
            },
            &["00002-of-00002.safetensors, tensor extra: is in", "00001-of-00002.safetensors too"],
        ),
        (
            "twice in the index",
            |f| {
                let index = shard(f, TRANSFORMER);
                let text = fs::read_to_string(&index).unwrap();
                let again =
                    text.replacen("\"weight_map\": {", &format!("\"weight_map\": {{ \"{Q}\": \"a.safetensors\","), 1);
                fs::write(index, again).unwrap();
            },
            &[Q, "is in weight_map twice"],
        ),
        (
            "empty map",
            |f| edit_json(&shard(f, TRANSFORMER), |index| index["weight_map"] = json!({})),
            &["its weight_map is empty"],
        ),
        (
            "no map",
            |f| edit_json(&shard(f, TRANSFORMER), |index| drop(index.remove("weight_map"))),
            &["index.json: is not the JSON that is expected", "weight_map"],
        ),
        (
            "map of numbers",
            |f| edit_json(&shard(f, TRANSFORMER), |index| index["weight_map"][Q] = json!(1)),
            &["is not the JSON that is expected"],
        ),
        ("not JSON", |f| fs::write(shard(f, TRANSFORMER), "{").unwrap(), &["is not the JSON that is expected", "EOF"]),
        ("empty index", |f| fs::write(shard(f, TRANSFORMER), "").unwrap(), &["index.json: is empty"]),
        ("not UTF-8", |f| fs::write(shard(f, TRANSFORMER), [0xff, 0xfe]).unwrap(), &["is not UTF-8"]),
        (
            "too long",
            |f| fs::File::options().write(true).open(shard(f, TRANSFORMER)).unwrap().set_len(11 << 20).unwrap(),
            &["is longer than the 10485760 bytes"],
        ),
        (
            "a damaged shard",
            |f| {
                shard(f, TRANSFORMER);
                write(f, "transformer/diffusion_pytorch_model-00002-of-00002.safetensors", [0; 7]);
            },
            &["00002-of-00002.safetensors: is 7 bytes long"],
        ),
    ]);
}

#[test]
fn damaged_folders() {
    fn without(folder: &Temp, names: &[&str]) {
        fs::remove_file(folder.path(TRANSFORMER)).unwrap();
        for name in names {
            write(folder, &format!("transformer/{name}"), "x");
        }
    }
    check(&[
        (
            "no model_index.json",
            |f| fs::remove_file(f.path("model_index.json")).unwrap(),
            &["has no model_index.json", "the components are there", "text_encoder"],
        ),
        (
            "model_index.json a folder",
            |f| {
                fs::remove_file(f.path("model_index.json")).unwrap();
                fs::create_dir(f.path("model_index.json")).unwrap();
            },
            &["model_index.json: is a folder where a file is expected"],
        ),
        (
            "model_index.json not JSON",
            |f| write(f, "model_index.json", "{,"),
            &["model_index.json: is not the JSON that is expected"],
        ),
        (
            "model_index.json a list",
            |f| write(f, "model_index.json", "[]"),
            &["model_index.json: is not a JSON object"],
        ),
        ("no transformer", |f| fs::remove_dir_all(f.path("transformer")).unwrap(), &["transformer/config.json"]),
        ("no scheduler", |f| fs::remove_dir_all(f.path("scheduler")).unwrap(), &["scheduler: is not there"]),
        ("no config", |f| fs::remove_file(f.path("vae/config.json")).unwrap(), &["cannot open", "vae/config.json"]),
        (
            "config a folder",
            |f| {
                fs::remove_file(f.path("vae/config.json")).unwrap();
                fs::create_dir(f.path("vae/config.json")).unwrap();
            },
            &["vae/config.json: is a folder where a file is expected"],
        ),
        ("config empty", |f| write(f, "vae/config.json", ""), &["vae/config.json: is empty"]),
        (
            "config too long",
            |f| write(f, "vae/config.json", vec![b' '; (1 << 20) + 1]),
            &["is longer than the 1048576 bytes"],
        ),
        ("a page for a config", |f| write(f, "vae/config.json", "<html>"), &["vae/config.json: is an HTML page"]),
        (
            "a pointer for an index",
            |f| write(f, "model_index.json", "version https://git-lfs.example/spec/v1\n"),
            &["model_index.json: is a Git LFS pointer and not the file itself"],
        ),
        ("config not UTF-8", |f| write(f, "vae/config.json", [b'{', 0xff, b'}']), &["vae/config.json: is not UTF-8"]),
        (
            "config nested",
            |f| write(f, "vae/config.json", "[".repeat(100_000)),
            &["is not the JSON that is expected", "recursion"],
        ),
        (
            "nothing",
            |f| without(f, &[]),
            &["transformer: holds no diffusion_pytorch_model.safetensors", "found config.json"],
        ),
        (
            "pickle",
            |f| without(f, &["diffusion_pytorch_model.bin"]),
            &[
                "transformer: holds diffusion_pytorch_model.bin but no safetensors file",
                "can run code",
                "safe_serialization=True",
            ],
        ),
        ("pickle of another name", |f| without(f, &["Wan2.1_VAE.PTH"]), &["holds Wan2.1_VAE.PTH", "pickle"]),
        ("gguf", |f| without(f, &["wan.gguf"]), &["holds wan.gguf", "GGUF is not read"]),
        ("another name", |f| without(f, &["other.safetensors"]), &["found config.json, other.safetensors"]),
        (
            "two variants",
            |f| without(f, &["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bf16.safetensors"]),
            &["several variants", "bf16", "fp16", "keep one"],
        ),
    ]);
}

#[test]
fn folders_that_are_none() {
    let open = |folder: &Temp, name: &str| {
        Checkpoint::open(&folder.path(name), Mapping::Map).map(drop).unwrap_err().to_string()
    };
    let folder = checkpoint();
    for (name, expected) in [
        (TRANSFORMER, "is a file; a checkpoint is a folder in the diffusers layout"),
        ("transformer", "this looks like one component: give the folder above it"),
        ("nowhere", "cannot open"),
    ] {
        let text = open(&folder, name);
        assert!(text.contains(expected), "{text}");
    }
    let other = Temp::new();
    let text = open(&other, "");
    assert!(
        text.contains("expected model_index.json and the folders scheduler") && text.contains("found nothing"),
        "{text}"
    );
    write(&other, "Wan2.1_VAE.pth", "");
    let text = open(&other, "");
    assert!(text.contains("Wan's own layout") && text.contains("-Diffusers"), "{text}");
    for i in 0..20 {
        write(&other, &format!("a{i:02}"), "");
    }
    let text = open(&other, "");
    assert!(text.contains("a00, a01, a02, a03, a04, … (21 in all)") || text.contains("(21 in all)"), "{text}");
}

/// Names of models on a hub, and folders of its cache, in place of a checkpoint's folder.
#[test]
fn hub_names_and_caches_are_recognised() {
    let text = |path: &Path| Checkpoint::open(path, Mapping::Map).map(drop).unwrap_err().to_string();
    let missing = text(Path::new("some-org/Wan2.1-T2V-1.3B-Diffusers"));
    let command = "`hf download some-org/Wan2.1-T2V-1.3B-Diffusers --local-dir FOLDER`";
    assert!(missing.contains("there is no such folder") && missing.contains(command), "{missing}");
    assert!(text(Path::new("/some-org/model")).contains("cannot open"));
    assert!(text(Path::new("a/b/c")).contains("cannot open"));

    let cache = Temp::new();
    let model = "hub/models--org--name";
    for folder in ["snapshots/0123abcd/vae", "refs", "blobs"] {
        fs::create_dir_all(cache.path(model).join(folder)).unwrap();
    }
    let empty = text(&cache.path(model));
    assert!(empty.contains("whose snapshots have no model_index.json"), "{empty}");
    write(&cache, &format!("{model}/snapshots/0123abcd/model_index.json"), "{}");
    let snapshot = cache.path(model).join("snapshots").join("0123abcd").display().to_string();
    let root = text(&cache.path(model));
    assert!(root.contains(&format!("this is a model in a hub's cache: pass {snapshot}")), "{root}");
    let snapshots = text(&cache.path(model).join("snapshots"));
    assert!(snapshots.contains(&format!("{snapshot} has one: pass that")), "{snapshots}");
    // Of two snapshots the one that the branch is at.
    let newer = cache.path(model).join("snapshots").join("4567cdef");
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join("model_index.json"), "{}").unwrap();
    write(&cache, &format!("{model}/refs/main"), "4567cdef");
    let root = text(&cache.path(model));
    assert!(root.contains(&format!("pass {}", newer.display())), "{root}");
    let hub = text(&cache.path("hub"));
    assert!(hub.contains("this is a hub's cache of models--org--name: pass the snapshot of one"), "{hub}");
    let above = text(&cache.path(""));
    assert!(above.contains("hub is a hub's cache: pass the snapshot of a model in it"), "{above}");

    write(&cache, "model.gguf", b"GGUF\x03\0\0\0");
    let file = text(&cache.path("model.gguf"));
    assert!(file.contains("is a file; a checkpoint is a folder") && file.contains("it is a GGUF file"), "{file}");
}

/// A hub's cache is links to blobs; where a download was stopped some lead nowhere.
#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_named() {
    use std::os::unix::fs::symlink;
    for file in [
        "model_index.json",
        TRANSFORMER,
        "vae/config.json",
        "tokenizer/tokenizer.json",
        "transformer",
        "text_encoder/model-00001-of-00002.safetensors",
    ] {
        let folder = checkpoint();
        if file.contains("00001") {
            shard(&folder, TEXT);
        }
        let path = folder.path(file);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        symlink("../../blobs/0123", &path).unwrap();
        let tokenizer = |opened| Checkpoint::open(&folder.path(""), Mapping::Map)?.tokenizer_path().map(|_| opened);
        let text = open(&folder, Mapping::Map).and_then(tokenizer).map(drop).unwrap_err().to_string();
        let expected = "is a link to ../../blobs/0123, which is not there; the download is not complete";
        assert!(text.contains(file) && text.contains(expected), "{file}: {text}");
    }
    let elsewhere = Temp::new();
    symlink("nowhere", elsewhere.path("model")).unwrap();
    let text = Checkpoint::open(&elsewhere.path("model"), Mapping::Map).map(drop).unwrap_err().to_string();
    assert!(text.contains("is a link to nowhere, which is not there"), "{text}");
}

/// Opening a pipe would wait for a writer that never comes.
#[cfg(unix)]
#[test]
fn pipes_are_not_opened() {
    for (file, expected) in [(TRANSFORMER, "is not a regular file"), ("vae/config.json", "is not a regular file")] {
        let folder = checkpoint();
        fs::remove_file(folder.path(file)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.path(file)).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        let text = open(&folder, Mapping::Map).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}
