//! Checkpoints that open.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use serde_json::json;
use zoetrope::Shape;
use zoetrope::models::{umt5, wan, wan_vae};
use zoetrope::weights::{Checkpoint, Mapping, NameTable, Storage, Weights};

use crate::checkpoints::files;
use crate::support::*;

#[test]
fn every_component_opens_without_a_word() {
    let folder = checkpoint();
    for mapping in [Mapping::Map, Mapping::Read] {
        let opened = open(&folder, mapping).unwrap();
        assert!(opened.warnings.is_empty(), "{:?}", opened.warnings);
        let block = opened.transformer.at("blocks.1");
        assert_eq!(block.matrix("ffn.net.0.proj.weight", &[14, 12]).unwrap().storage(), Storage::F32);
        assert_eq!(block.table("scale_shift_table", 6, 12).unwrap().len(), 72);
        assert_eq!(opened.vae.vector("decoder.norm_out.gamma", 4).unwrap().len(), 4);
        assert!(opened.text.contains("shared.weight"));
        opened.transformer.check_unchanged().unwrap();
    }
}

#[test]
fn what_others_write_is_read() {
    let folder = Temp::new();
    let path = folder.path("a.safetensors");
    let (a, b) = ([1.0f32, -2.5, 1e-40], [f32::MAX; 4]);
    write_safetensors(&path, &[("z", [3].into(), &a), ("latents", [1, 2, 2].into(), &b)]);
    for mapping in [Mapping::Map, Mapping::Read] {
        let weights = Weights::open(&path, mapping).unwrap();
        assert_eq!(weights.get("z").unwrap().to_vec(), a);
        let latents = weights.get("latents").unwrap();
        assert_eq!((latents.shape(), latents.to_vec()), (Shape::from([1, 2, 2]), b.to_vec()));
        assert_eq!(latents.file(), path);
    }
}

/// A mapped matrix is the file's own bytes: no copy is made, at any alignment.
#[test]
fn matrices_are_used_in_place_and_may_be_unaligned() {
    let folder = Temp::new();
    let path = folder.path("a.safetensors");
    let values = [1.0f32, -3.0, 0.5, 7.25];
    let mut data = vec![9u8];
    data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    data.extend([0x00, 0x3c, 0x00, 0xc0]);
    data.extend([0x80, 0x3f]);
    let header = r#"{"odd":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "w":{"dtype":"F32","shape":[2,2],"data_offsets":[1,17]},
        "h":{"dtype":"F16","shape":[2],"data_offsets":[17,21]},
        "b":{"dtype":"BF16","shape":[1,1],"data_offsets":[21,23]}}"#;
    // Three lengths of header, so that every tensor is off its alignment in at least one of them.
    for pad in 0..3 {
        fs::write(&path, join(&format!("{header}{}", " ".repeat(pad)), &data)).unwrap();
        let weights = Weights::open(&path, Mapping::Map).unwrap();
        let (first, again) = (weights.matrix("w", &[2, 2]).unwrap(), weights.matrix("w", &[2, 2]).unwrap());
        assert_eq!(first.bytes().as_ptr(), again.bytes().as_ptr());
        // F16 comes right after it in the file and in memory.
        assert_eq!(first.bytes().as_ptr_range().end, weights.get("h").unwrap().bytes().as_ptr());
        assert_eq!(first.to_vec(), values);
        assert_eq!(weights.vector("h", 2).unwrap(), [1.0, -2.0]);
        assert_eq!(weights.table("b", 1, 1).unwrap(), [1.0]);
        let error = weights.get("odd").unwrap_err().to_string();
        assert!(error.contains("tensor odd: is stored as U8; F32, F16 and BF16 are read"), "{error}");
    }
}

/// Quantised files mark themselves with tensors that hold nothing, as the format allows.
#[test]
fn a_tensor_that_holds_nothing_is_not_in_the_way() {
    let folder = checkpoint();
    for (name, dtype, dims) in
        [("scaled_fp8", "F8_E4M3", &[0][..]), ("marker", "F32", &[0]), ("none", "I64", &[3, 0, 1 << 40])]
    {
        add_tensor(&folder.path(TRANSFORMER), name, dtype, dims, 0);
    }
    for opened in [open(&folder, Mapping::Map), open(&folder, Mapping::Read), open_in_memory(&folder)] {
        let opened = opened.unwrap();
        let [warning] = &opened.warnings[..] else { panic!("{:?}", opened.warnings) };
        assert!(warning.to_string().ends_with("3 tensors not used: marker, none, scaled_fp8"), "{warning}");
        let marker = opened.transformer.get("marker").unwrap();
        assert_eq!((marker.shape().dims(), marker.to_vec()), (&[0][..], Vec::new()));
    }
}

#[test]
fn shards_open_like_a_file() {
    let folder = checkpoint();
    let whole = open(&folder, Mapping::Map).unwrap();
    let name = "blocks.0.attn2.to_out.0.weight";
    let expected = whole.transformer.matrix(name, &[12, 12]).unwrap().to_vec();
    for file in [TEXT, TRANSFORMER, VAE] {
        shard(&folder, file);
    }
    for mapping in [Mapping::Map, Mapping::Read] {
        let opened = open(&folder, mapping).unwrap();
        assert!(opened.warnings.is_empty(), "{:?}", opened.warnings);
        let weight = opened.transformer.matrix(name, &[12, 12]).unwrap();
        assert_eq!(weight.to_vec(), expected);
        assert!(weight.file().to_string_lossy().contains("-of-00002"), "{:?}", weight.file());
    }
}

#[test]
fn one_variant_is_taken_and_the_plain_file_comes_first() {
    let folder = checkpoint();
    let variant = folder.path("transformer/diffusion_pytorch_model.bf16.safetensors");
    fs::write(&variant, "not looked at").unwrap();
    open(&folder, Mapping::Map).unwrap();
    fs::rename(folder.path(TRANSFORMER), &variant).unwrap();
    open(&folder, Mapping::Map).unwrap();
    let index = shard(&folder, TEXT);
    fs::rename(index, folder.path("text_encoder/model.safetensors.index.fp16.json")).unwrap();
    open(&folder, Mapping::Map).unwrap();
}

/// A hub's cache keeps files elsewhere and links to them.
#[cfg(unix)]
#[test]
fn links_are_followed() {
    let folder = checkpoint();
    let index = shard(&folder, TRANSFORMER);
    let blobs = Temp::new();
    for (i, file) in ["diffusion_pytorch_model-00001-of-00002.safetensors", "config.json"].into_iter().enumerate() {
        let (from, to) = (folder.path("transformer").join(file), blobs.path(&i.to_string()));
        fs::rename(&from, &to).unwrap();
        std::os::unix::fs::symlink(&to, &from).unwrap();
    }
    fs::rename(&index, blobs.path("index")).unwrap();
    std::os::unix::fs::symlink(blobs.path("index"), &index).unwrap();
    open(&folder, Mapping::Map).unwrap();
}

#[test]
fn the_embedding_has_two_names() {
    let folder = checkpoint();
    let expected = open(&folder, Mapping::Map).unwrap().text.matrix("shared.weight", &[11, 8]).unwrap().to_vec();
    edit_tensors(&folder.path(TEXT), |header, _| {
        let entry = header.remove("shared.weight").unwrap();
        header.insert("encoder.embed_tokens.weight".to_owned(), entry);
    });
    let opened = open(&folder, Mapping::Map).unwrap();
    assert!(opened.warnings.is_empty(), "{:?}", opened.warnings);
    let weight = opened.text.matrix("shared.weight", &[11, 8]).unwrap();
    assert_eq!((weight.name(), weight.to_vec()), ("encoder.embed_tokens.weight", expected));
    // A file with both is no reason for a warning either.
    add_tensor(&folder.path(TEXT), "shared.weight", "F32", &[11, 8], 11 * 8 * 4);
    assert!(open(&folder, Mapping::Map).unwrap().warnings.is_empty());
}

#[test]
fn an_encoder_is_no_surprise_and_other_extras_are_one_warning() {
    let folder = checkpoint();
    for name in ["encoder.conv_in.weight", "encoder.down_blocks.77.weight", "quant_conv.bias"] {
        add_tensor(&folder.path(VAE), name, "I64", &[2], 16);
    }
    assert!(open(&folder, Mapping::Map).unwrap().warnings.is_empty());
    for i in 0..9 {
        add_tensor(&folder.path(VAE), &format!("ema.{i}"), "I64", &[2], 16);
    }
    let warnings = open(&folder, Mapping::Map).unwrap().warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    let text = warning.to_string();
    assert!(text.contains("9 tensors not used: ema.0, ema.1, ema.2, ema.3, ema.4, …"), "{text}");
    assert!(text.contains("vae"), "{text}");
}

#[test]
fn gammas_may_have_more_or_fewer_axes_of_one() {
    let folder = checkpoint();
    edit_tensors(&folder.path(VAE), |header, _| {
        header["decoder.norm_out.gamma"]["shape"] = json!([4]);
        header["decoder.mid_block.attentions.0.norm.gamma"]["shape"] = json!([8, 1, 1, 1]);
    });
    edit_tensors(&folder.path(TRANSFORMER), |header, _| header["scale_shift_table"]["shape"] = json!([2, 12]));
    let opened = open(&folder, Mapping::Map).unwrap();
    assert_eq!(opened.vae.vector("decoder.norm_out.gamma", 4).unwrap().len(), 4);
    assert_eq!(opened.transformer.table("scale_shift_table", 2, 12).unwrap().len(), 24);
}

#[test]
fn a_mapped_file_that_changes_is_noticed() {
    type Change = fn(&std::path::Path);
    let changes: [(Change, &str); 3] = [
        (|path| set_time(path, SystemTime::now() + Duration::from_secs(5)), "was written to after it was opened"),
        (
            |path| File::options().write(true).open(path).unwrap().set_len(64).unwrap(),
            "bytes when it was opened and has 64",
        ),
        (
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes.push(0);
                fs::write(path, bytes).unwrap();
            },
            "bytes when it was opened",
        ),
    ];
    for (change, expected) in changes {
        for sharded in [false, true] {
            let folder = checkpoint();
            let mut file = folder.path(TRANSFORMER);
            if sharded {
                shard(&folder, TRANSFORMER);
                file = folder.path("transformer/diffusion_pytorch_model-00002-of-00002.safetensors");
            }
            let opened = open(&folder, Mapping::Map).unwrap();
            opened.transformer.check_unchanged().unwrap();
            change(&file);
            let error = opened.transformer.at("blocks.0").check_unchanged().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("--no-mmap"), "{error}");
            assert!(error.contains(&*file.to_string_lossy()), "{error}");
            opened.vae.check_unchanged().unwrap();
        }
    }
}

#[test]
fn bytes_that_were_read_outlive_their_file() {
    let folder = checkpoint();
    let opened = open(&folder, Mapping::Read).unwrap();
    let weight = opened.transformer.matrix("proj_out.weight", &[16, 12]).unwrap();
    let before = weight.to_vec();
    File::options().write(true).open(folder.path(TRANSFORMER)).unwrap().set_len(10).unwrap();
    opened.transformer.check_unchanged().unwrap();
    assert_eq!(weight.to_vec(), before);
    // What has not been read yet is examined when it is.
    let error = opened.transformer.matrix("proj_out.weight", &[16, 12]).unwrap_err().to_string();
    assert!(error.contains("became shorter"), "{error}");
    let time = SystemTime::now() + Duration::from_secs(5);
    set_time(&folder.path(VAE), time);
    let error = opened.vae.vector("decoder.norm_out.gamma", 4).unwrap_err().to_string();
    assert!(error.contains("was written to after it was opened"), "{error}");
}

fn set_time(path: &std::path::Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn the_fingerprint_sees_headers_and_samples() {
    let (folder, copy) = (checkpoint(), checkpoint());
    for folder in [&folder, &copy] {
        add_tensor(&folder.path(VAE), "encoder.z", "F32", &[10_000], 40_000);
    }
    let open = |folder: &Temp| Checkpoint::open(&folder.path(""), Mapping::Map).unwrap();
    let (a, b) = (open(&folder), open(&copy));
    let quick = a.fingerprint().unwrap();
    assert!(quick.len() == 64 && quick.bytes().all(|c| c.is_ascii_hexdigit()), "{quick}");
    assert_eq!(b.fingerprint().unwrap(), quick);

    // One bit at the end of a large tensor is in no sample.
    let mut bytes = fs::read(folder.path(VAE)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(folder.path(VAE), bytes).unwrap();
    set_time(&folder.path(VAE), SystemTime::now() + Duration::from_secs(5));
    assert_eq!(a.fingerprint().unwrap(), quick);

    // A tensor's name, a configuration's value, a shard instead of a file, a bit in the middle are seen.
    type Change = fn(&Temp);
    let changes: [Change; 4] = [
        |folder| add_tensor(&folder.path(VAE), "encoder.x", "F32", &[1], 4),
        |folder| write_json(&folder.path("scheduler/scheduler_config.json"), &json!({ "flow_shift": 5.0 })),
        |folder| drop(shard(folder, TEXT)),
        |folder| {
            let mut bytes = fs::read(folder.path(VAE)).unwrap();
            let middle = bytes.len() - 20_000;
            bytes[middle] ^= 1;
            fs::write(folder.path(VAE), bytes).unwrap();
        },
    ];
    for change in changes {
        let changed = checkpoint();
        add_tensor(&changed.path(VAE), "encoder.z", "F32", &[10_000], 40_000);
        change(&changed);
        assert_ne!(open(&changed).fingerprint().unwrap(), quick);
    }
}

/// A component's fingerprint sees new weights, whether or not the file's time tells of them, and nothing elsewhere.
#[test]
fn a_components_fingerprint_changes_with_its_weights() {
    let folder = checkpoint();
    let checkpoint = Checkpoint::open(&folder.path(""), Mapping::Map).unwrap();
    let now = || checkpoint.component_fingerprint("text_encoder").unwrap();
    let path = folder.path(TEXT);
    let (start, bytes) = (now(), fs::read(&path).unwrap());
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(start.len(), 64);

    // All but the header is new; size and time are those of before.
    let mut trained = bytes.clone();
    let header = bytes.len() - split(&bytes).1.len();
    trained[header..].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&path, &trained).unwrap();
    set_time(&path, time);
    let other = now();
    assert_ne!(other, start);
    fs::write(&path, &bytes).unwrap();
    set_time(&path, time);
    assert_eq!(now(), start);
    // Written to, for all that one can see.
    set_time(&path, time + Duration::from_nanos(1000));
    assert_ne!(now(), start);
    set_time(&path, time);
    // Another component.
    add_tensor(&folder.path(VAE), "encoder.x", "F32", &[1], 4);
    assert_eq!(now(), start);
    edit_json(&folder.path("text_encoder/config.json"), |config| config["num_heads"] = json!(4));
    assert_ne!(now(), start);
    assert!(checkpoint.component_fingerprint("image_encoder").is_err());
}

/// What is in memory is used there: no matrix is copied, and messages name the file that the bytes stand for.
#[test]
fn a_checkpoint_in_memory_is_used_in_place() {
    let folder = checkpoint();
    let on_disk = open(&folder, Mapping::Map).unwrap();
    shard(&folder, TEXT);
    let files = files(&folder.path("")).into_iter().map(|(path, bytes)| (path, &*bytes.leak()));
    let files: Vec<(String, &'static [u8])> = files.collect();
    let checkpoint = Checkpoint::from_memory("linked", files.clone()).unwrap();
    let config = zoetrope::models::Configs::read(&checkpoint).unwrap().transformer;
    let (weights, warnings) = checkpoint.component("transformer", &wan::name_table(&config)).unwrap();
    assert!(warnings.is_empty());
    let name = "blocks.0.ffn.net.2.weight";
    let weight = weights.matrix(name, &[12, 14]).unwrap();
    assert_eq!(weight.to_vec(), on_disk.transformer.get(name).unwrap().to_vec());
    assert_eq!(weight.file(), std::path::Path::new("linked").join(TRANSFORMER));
    let (_, linked) = files.iter().find(|(path, _)| path == TRANSFORMER).unwrap();
    assert!(linked.as_ptr_range().contains(&weight.bytes().as_ptr()));
    weights.check_unchanged().unwrap();
    assert_eq!(checkpoint.folder(), std::path::Path::new("linked"));
    assert!(checkpoint.tokenizer_path().unwrap().ends_with("linked/tokenizer/tokenizer.json"));

    // The hashes are those of the folder, but for the one that reads a folder's times.
    let opened = Checkpoint::open(&folder.path(""), Mapping::Read).unwrap();
    assert_eq!(checkpoint.fingerprint().unwrap(), opened.fingerprint().unwrap());
    let before = checkpoint.component_fingerprint("transformer").unwrap();
    let changed = files.iter().map(|(path, bytes)| {
        let mut bytes = bytes.to_vec();
        if path == TRANSFORMER {
            *bytes.last_mut().unwrap() ^= 1;
        }
        (path, bytes)
    });
    let changed = Checkpoint::from_memory("linked", changed).unwrap();
    assert_ne!(changed.component_fingerprint("transformer").unwrap(), before);

    // A file less, and one that is not a file there.
    let without = |name: &'static str| files.iter().filter(move |(path, _)| path != name).cloned();
    let error = Checkpoint::from_memory("linked", without("model_index.json")).unwrap_err().to_string();
    assert!(error.contains("linked: is not a checkpoint in the diffusers layout"), "{error}");
    let checkpoint = Checkpoint::from_memory("linked", without("vae/config.json")).unwrap();
    let error = zoetrope::models::Configs::read(&checkpoint).unwrap_err().to_string();
    assert!(error.contains("cannot open linked") && error.contains("not among the files in memory"), "{error}");
    let nested = [("model_index.json/x", &b"{}"[..])];
    let error = Checkpoint::from_memory("linked", nested).unwrap_err().to_string();
    assert!(error.contains("model_index.json: is a folder where a file is expected"), "{error}");
}

#[test]
fn one_file_in_memory_is_a_component() {
    let folder = checkpoint();
    let bytes: std::sync::Arc<[u8]> = fs::read(folder.path(VAE)).unwrap().into();
    let weights = Weights::from_bytes("vae.safetensors", bytes.clone()).unwrap();
    let gamma = weights.get("decoder.norm_out.gamma").unwrap();
    assert!(bytes.as_ptr_range().contains(&gamma.bytes().as_ptr()));
    assert_eq!(gamma.file(), std::path::Path::new("vae.safetensors"));
    let error = Weights::from_bytes("vae.safetensors", &[1, 0, 0]).map(drop).unwrap_err().to_string();
    assert!(error.contains("vae.safetensors: is 3 bytes long, too short"), "{error}");
    let error = Weights::from_bytes("vae.safetensors", Vec::new()).map(drop).unwrap_err().to_string();
    assert!(error.contains("vae.safetensors: is empty"), "{error}");
}

#[test]
fn classes_paths_and_configs_are_found() {
    let folder = checkpoint();
    let checkpoint = Checkpoint::open(&folder.path(""), Mapping::Map).unwrap();
    assert_eq!(checkpoint.class("scheduler"), Some("UniPCMultistepScheduler"));
    assert_eq!(checkpoint.class("transformer_2"), None);
    assert_eq!(checkpoint.tokenizer_path().unwrap(), folder.path("tokenizer/tokenizer.json"));
    assert_eq!(checkpoint.config_path("scheduler"), folder.path("scheduler/scheduler_config.json"));
    let map: serde_json::Map<String, serde_json::Value> = checkpoint.config("scheduler").unwrap();
    assert_eq!(map["flow_shift"], 3.0);
    fs::remove_file(folder.path("tokenizer/tokenizer.json")).unwrap();
    let error = checkpoint.tokenizer_path().unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: is missing"), "{error}");
    checkpoint.fingerprint().unwrap();
}

/// The tables against the classes that the names come from; the fixture is made by `tools/reference/names.py`.
#[test]
fn tables_are_those_of_the_reference_classes() {
    #[derive(serde::Deserialize)]
    struct Case {
        kind: String,
        config: serde_json::Value,
        tensors: std::collections::BTreeMap<String, Vec<usize>>,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/names.json")).unwrap();
    assert!(cases.len() >= 9);
    let folder = Temp::new();
    let path = folder.path("config.json");
    for case in cases {
        write_json(&path, &case.config);
        let table: NameTable = match case.kind.as_str() {
            "transformer" => wan::name_table(&wan::Config::read(&path).unwrap()),
            "vae" => wan_vae::name_table(&wan_vae::Config::read(&path).unwrap()),
            "text_encoder" => umt5::name_table(&umt5::Config::read(&path).unwrap()),
            other => panic!("{other}"),
        };
        let ours: Vec<(String, Vec<usize>)> = table.tensors().map(|(n, s)| (n.to_owned(), s.dims().to_vec())).collect();
        let theirs: Vec<(String, Vec<usize>)> = case.tensors.into_iter().collect();
        assert_eq!(ours, theirs, "{} {}", case.kind, case.config);
    }
}

/// A table with the published 1.3B's names, its files sparse and full-sized: opening and the fingerprint read headers
/// alone.
#[cfg(unix)]
#[test]
fn full_size_opens_at_once() {
    let folder = Temp::new();
    let config = folder.path("config.json");
    let full = json!({ "num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960 });
    write_json(&config, &full);
    let table = wan::name_table(&wan::Config::read(&config).unwrap());
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in table.tensors() {
        let start = end;
        end += shape.numel() * 2;
        header.insert(name.to_owned(), json!({ "dtype": "BF16", "shape": shape.dims(), "data_offsets": [start, end] }));
    }
    assert!(end > 2_500_000_000, "{end}");
    let path = folder.path("model.safetensors");
    let head = join(&serde_json::Value::Object(header).to_string(), &[]);
    fs::write(&path, &head).unwrap();
    File::options().write(true).open(&path).unwrap().set_len((head.len() + end) as u64).unwrap();
    for mapping in [Mapping::Map, Mapping::Read] {
        let started = std::time::Instant::now();
        let (weights, warnings) = Weights::open(&path, mapping).unwrap().checked(&table).unwrap();
        weights.check_unchanged().unwrap();
        assert!(warnings.is_empty());
        let spent = started.elapsed();
        assert!(spent < Duration::from_secs(1), "{spent:?}");
    }
}
