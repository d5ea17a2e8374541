//! Configurations: defaults, what is refused, and with which words.

use std::fs;

use serde_json::{Map, Value, json};
use zoetrope::models::{Configs, umt5, wan, wan_vae};
use zoetrope::weights::{Checkpoint, Mapping, Warning};
use zoetrope::{Error, Result};

use crate::support::*;

fn read<T>(config: &Value, read: fn(&std::path::Path) -> Result<T>) -> Result<T> {
    let folder = Temp::new();
    let path = folder.path("config.json");
    write_json(&path, config);
    read(&path)
}

#[test]
fn absent_keys_have_the_defaults_of_the_reference() {
    let wan = read(&json!({}), wan::Config::read).unwrap();
    assert_eq!((wan.inner_dim(), wan.ffn_dim, wan.num_layers, wan.text_dim), (5120, 13824, 40, 4096));
    assert_eq!((wan.in_channels, wan.out_channels(), wan.freq_dim, wan.patch_size), (16, 16, 256, [1, 2, 2]));
    assert_eq!((wan.cross_attn_norm, wan.eps, wan.rope_max_seq_len), (true, 1e-6, 1024));
    let vae = read(&json!({}), wan_vae::Config::read).unwrap();
    assert_eq!((vae.base_dim, vae.z_dim, vae.levels(), vae.num_res_blocks), (96, 16, 4, 2));
    assert_eq!((vae.temporal_factor(), vae.spatial_factor()), (4, 8));
    assert_eq!((vae.latents_mean[0], vae.latents_std[15]), (-0.7571, 1.916));
    let text = read(&json!({}), umt5::Config::read).unwrap();
    assert_eq!((text.vocab_size, text.d_model, text.inner_dim(), text.d_ff), (250_112, 512, 384, 1024));
    assert_eq!((text.num_layers, text.relative_attention_num_buckets), (8, 32));
    assert_eq!((text.relative_attention_max_distance, text.layer_norm_epsilon), (128, 1e-6));
}

/// out_channels: an absent key is 16, null and 0 are in_channels, as in diffusers.
#[test]
fn out_channels_may_be_null() {
    for (config, expected) in [
        (json!({ "in_channels": 36 }), 16),
        (json!({ "in_channels": 36, "out_channels": null }), 36),
        (json!({ "in_channels": 36, "out_channels": 0 }), 36),
        (json!({ "in_channels": 36, "out_channels": 8 }), 8),
    ] {
        assert_eq!(read(&config, wan::Config::read).unwrap().out_channels(), expected, "{config}");
    }
}

#[test]
fn rope_gives_time_the_rest() {
    for (head, expected) in [
        (128, [44, 42, 42]),
        (24, [8, 8, 8]),
        (44, [16, 14, 14]),
        (2, [2, 0, 0]),
        (6, [2, 2, 2]),
        (10, [6, 2, 2]),
        (64, [24, 20, 20]),
    ] {
        let config = read(&json!({ "attention_head_dim": head }), wan::Config::read).unwrap();
        assert_eq!(config.rope_dims(), expected);
        assert_eq!(config.rope_dims().iter().sum::<usize>(), head);
    }
}

#[test]
fn factors_come_from_the_levels() {
    for (mult, time, temporal, spatial) in [
        (json!([1]), json!([]), 1, 1),
        (json!([1, 2]), json!([false]), 1, 2),
        (json!([1, 2, 4]), json!([true, true]), 4, 4),
        (json!([1, 2, 4, 4]), json!([false, true, true]), 4, 8),
    ] {
        let stated = json!({
            "dim_mult": mult, "temperal_downsample": time, "scale_factor_temporal": temporal, "scale_factor_spatial": spatial,
        });
        let mut unstated = stated.clone();
        unstated["scale_factor_temporal"] = json!(null);
        unstated["scale_factor_spatial"] = json!(null);
        for config in [stated, unstated] {
            let vae = read(&config, wan_vae::Config::read).unwrap();
            assert_eq!((vae.temporal_factor(), vae.spatial_factor()), (temporal, spatial));
        }
    }
}

/// Key, value, and what the message must contain besides file and key.
type Refusal = (&'static str, Value, &'static str);

fn refused<T>(base: &Value, refusals: &[Refusal], read_config: fn(&std::path::Path) -> Result<T>) {
    assert!(read(base, read_config).is_ok());
    for (key, value, expected) in refusals {
        let mut config = base.clone();
        config[key] = value.clone();
        let Err(error) = read(&config, read_config) else { panic!("{key} = {value} was accepted") };
        let Error::Config { file, key: named, why } = &error else { panic!("{key}: {error:?}") };
        assert!(file.ends_with("config.json"));
        assert_eq!(named, key, "{why}");
        assert!(why.contains(expected), "{key} = {value}: {expected:?} is not in {why:?}");
    }
}

#[test]
fn transformers_that_are_refused() {
    let tiny = json!({ "num_attention_heads": 2, "attention_head_dim": 6, "num_layers": 1, "qk_norm": null });
    refused(
        &tiny,
        &[
            ("_class_name", json!("WanVACETransformer3DModel"), "expected WanTransformer3DModel"),
            ("qk_norm", json!("rms_norm"), "only rms_norm_across_heads"),
            ("qk_norm", json!(true), "invalid type"),
            ("attention_head_dim", json!(7), "must be even, found 7"),
            ("attention_head_dim", json!(0), "expected 2 to 4096, found 0"),
            ("attention_head_dim", json!("6"), "expected usize, found \"6\""),
            ("num_attention_heads", json!(0), "found 0"),
            ("num_attention_heads", json!(60_000), "60000 x 6 is wider than 65536"),
            ("num_attention_heads", json!(-2), "found -2"),
            ("num_attention_heads", json!(1_u64 << 62), "found 4611686018427387904"),
            ("num_layers", json!(0), "expected 1 to 1000, found 0"),
            ("num_layers", json!(1001), "expected 1 to 1000"),
            ("num_layers", json!(2.5), "found 2.5"),
            ("patch_size", json!([1, 2]), "expected"),
            ("patch_size", json!([1, 2, 2, 2]), "expected"),
            ("patch_size", json!([1, 0, 2]), "expected 1 to 64, found 0"),
            ("patch_size", json!(2), "expected an array"),
            ("in_channels", json!(0), "found 0"),
            ("out_channels", json!(1_000_000), "found 1000000"),
            ("text_dim", json!(null), "found null"),
            ("freq_dim", json!(255), "must be even, found 255"),
            ("ffn_dim", json!(1_u64 << 40), "found 1099511627776"),
            ("rope_max_seq_len", json!(0), "found 0"),
            ("cross_attn_norm", json!("yes"), "expected a boolean"),
            ("eps", json!(0), "between 0 and 1, found 0"),
            ("eps", json!(-1e-6), "between 0 and 1"),
            ("eps", json!("1e-6"), "invalid type"),
        ],
        wan::Config::read,
    );
}

#[test]
fn autoencoders_that_are_refused() {
    let tiny = json!({
        "base_dim": 4, "z_dim": 2, "dim_mult": [1, 2], "temperal_downsample": [true], "latents_mean": [0, 0],
        "latents_std": [1, 1], "scale_factor_temporal": 2, "scale_factor_spatial": 2, "patch_size": null, "is_residual": false,
    });
    refused(
        &tiny,
        &[
            ("_class_name", json!("AutoencoderKL"), "expected AutoencoderKLWan"),
            ("is_residual", json!(true), "not supported, found true"),
            ("patch_size", json!(2), "not supported"),
            ("attn_scales", json!([0.5]), "not supported"),
            ("attn_scales", json!(null), "found null"),
            ("dim_mult", json!([]), "expected 1 to 8 levels, found 0"),
            ("dim_mult", json!(vec![1; 9]), "expected 1 to 8 levels, found 9"),
            ("dim_mult", json!([1, 0]), "expected 1 to 1024, found 0"),
            ("dim_mult", json!([1, 2000]), "expected 1 to 1024"),
            ("temperal_downsample", json!([]), "have 1 steps between them, found 0"),
            ("temperal_downsample", json!([true, true]), "have 1 steps between them, found 2"),
            ("temperal_downsample", json!([1]), "expected a boolean"),
            (
                "scale_factor_temporal",
                json!(4),
                "is 4 (diffusers' value where the key is absent), but the levels make 2; write \"scale_factor_temporal\": 2",
            ),
            ("scale_factor_spatial", json!(8), "the levels make 2"),
            ("latents_mean", json!([0]), "z_dim = 2 channels, found 1"),
            ("latents_std", json!([1, 1, 1]), "z_dim = 2 channels, found 3"),
            ("latents_std", json!([1, 0]), "above zero, found 0"),
            ("latents_std", json!([1, -1]), "above zero, found -1"),
            ("latents_mean", json!([0, 1e300]), "expected finite numbers"),
            ("latents_mean", json!([0, "x"]), "invalid type"),
            ("base_dim", json!(0), "found 0"),
            ("base_dim", json!(65_537), "found 65537"),
            ("decoder_base_dim", json!(0), "found 0"),
            ("num_res_blocks", json!(0), "expected 1 to 64, found 0"),
            ("in_channels", json!(0), "found 0"),
            ("out_channels", json!(5000), "found 5000"),
        ],
        wan_vae::Config::read,
    );
    // Where z_dim is not that of the default, means and deviations must be stated.
    let error = read(&json!({ "z_dim": 4 }), wan_vae::Config::read).unwrap_err().to_string();
    assert!(error.contains("latents_mean: expected one number for each of z_dim = 4 channels, found 16"), "{error}");
    // An absent factor is diffusers' default.
    let error = read(&json!({ "dim_mult": [1, 2], "temperal_downsample": [true] }), wan_vae::Config::read).unwrap_err();
    assert!(error.to_string().contains("scale_factor_temporal: is 4"), "{error}");
    // One channel has no half.
    let error =
        read(&json!({ "dim_mult": [2, 1], "base_dim": 1, "temperal_downsample": [true] }), wan_vae::Config::read);
    assert!(error.unwrap_err().to_string().contains("base_dim: a step up halves the channels"));
}

#[test]
fn text_encoders_that_are_refused() {
    let tiny = json!({ "vocab_size": 10, "num_layers": 1, "dense_act_fn": "gelu_new", "is_gated_act": true, "model_type": "umt5" });
    refused(
        &tiny,
        &[
            ("model_type", json!("t5"), "expected umt5, found \"t5\""),
            ("feed_forward_proj", json!("relu"), "only gated-gelu is supported, found \"relu\""),
            ("feed_forward_proj", json!(7), "invalid type"),
            ("dense_act_fn", json!("relu"), "expected gelu_new"),
            ("is_gated_act", json!(false), "expected true"),
            ("vocab_size", json!(0), "found 0"),
            ("d_model", json!(1 << 20), "found 1048576"),
            ("num_layers", json!(100_000), "expected 1 to 1000"),
            ("relative_attention_num_buckets", json!(2), "expected 4 to"),
            ("relative_attention_max_distance", json!(8), "expected 9 to"),
            ("layer_norm_epsilon", json!(1.5), "between 0 and 1"),
        ],
        umt5::Config::read,
    );
    let error = read(&json!({ "d_kv": 20_000 }), umt5::Config::read).unwrap_err().to_string();
    assert!(error.contains("num_heads: 6 x 20000 is wider than 65536"), "{error}");
}

/// An edit of one file and what the message must contain.
type Edit = (&'static str, fn(&mut Map<String, Value>), &'static str);

fn edits_are_refused(edits: &[Edit]) {
    for (file, edit, expected) in edits {
        let folder = checkpoint();
        edit_json(&folder.path(file), edit);
        let error =
            Checkpoint::open(&folder.path(""), Mapping::Map).and_then(|c| Configs::read(&c)).map(drop).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(
            error.to_string().contains(file) && error.to_string().contains(expected),
            "{expected:?} is not in {error}"
        );
    }
}

#[test]
fn pipelines_that_are_refused() {
    const INDEX: &str = "model_index.json";
    edits_are_refused(&[
        (
            INDEX,
            |i| i["_class_name"] = json!("WanImageToVideoPipeline"),
            "_class_name: only WanPipeline (text to video) is supported",
        ),
        (INDEX, |i| drop(i.remove("_class_name")), "_class_name: is missing"),
        (INDEX, |i| i["_class_name"] = json!(["WanPipeline"]), "_class_name"),
        (
            INDEX,
            |i| i["transformer"] = json!(["diffusers", "WanVACETransformer3DModel"]),
            "transformer: expected [library, class] with class WanTransformer3DModel",
        ),
        (INDEX, |i| i["transformer"] = json!([null, null]), "transformer: expected"),
        (INDEX, |i| i["vae"] = json!("AutoencoderKLWan"), "vae: expected [library, class]"),
        (INDEX, |i| i["text_encoder"] = json!(["transformers", "T5EncoderModel"]), "text_encoder: expected"),
        (INDEX, |i| i["tokenizer"] = json!(["transformers", "CLIPTokenizer"]), "tokenizer: expected"),
        (
            INDEX,
            |i| i["scheduler"] = json!(["diffusers", "DDIMScheduler"]),
            "UniPCMultistepScheduler or FlowMatchEulerDiscreteScheduler",
        ),
        (INDEX, |i| drop(i.remove("vae")), "vae: is missing"),
        (
            INDEX,
            |i| i["transformer_2"] = json!(["diffusers", "WanTransformer3DModel"]),
            "transformer_2: a second transformer",
        ),
        (INDEX, |i| i["boundary_ratio"] = json!(0.875), "boundary_ratio"),
        (INDEX, |i| i["boundary_ratio"] = json!(0), "boundary_ratio"),
        (INDEX, |i| i["expand_timesteps"] = json!(true), "expand_timesteps"),
    ]);
}

#[test]
fn configurations_that_do_not_fit_each_other() {
    edits_are_refused(&[
        ("transformer/config.json", |c| c["text_dim"] = json!(9), "text_dim: is 9, the text encoder's d_model is 8"),
        (
            "transformer/config.json",
            |c| drop((c.insert("in_channels".into(), json!(3)), c.insert("out_channels".into(), json!(4)))),
            "in_channels: is 3, the autoencoder's z_dim is 4",
        ),
        (
            "transformer/config.json",
            |c| c["out_channels"] = json!(5),
            "out_channels: is 5, the autoencoder's z_dim is 4",
        ),
        ("vae/config.json", |c| drop(c.insert("out_channels".into(), json!(4))), "out_channels: frames are RGB"),
    ]);
}

/// The autoencoder alone says how many channels a latent has: a transformer may read others beside them.
#[test]
fn a_transformer_may_read_more_channels_than_a_latent_has() {
    let folder = checkpoint();
    edit_json(&folder.path("transformer/config.json"), |c| {
        c["in_channels"] = json!(9);
        c["out_channels"] = json!(4);
    });
    let configs = Configs::read(&Checkpoint::open(&folder.path(""), Mapping::Map).unwrap()).unwrap();
    assert_eq!((configs.transformer.in_channels, configs.vae.z_dim), (9, 4));
}

/// Published files of text-to-video models name an image branch that is not there.
#[test]
fn of_an_image_branch_the_tensors_decide() {
    let folder = checkpoint();
    edit_json(&folder.path("transformer/config.json"), |c| {
        c.insert("image_dim".into(), json!(1280));
        c.insert("added_kv_proj_dim".into(), json!(5120));
        c.insert("pos_embed_seq_len".into(), json!(null));
    });
    let [warning] = &open(&folder, Mapping::Map).unwrap().warnings[..] else { panic!("one warning") };
    assert!(matches!(warning, Warning::WithoutTensors { keys, .. } if *keys == ["image_dim", "added_kv_proj_dim"]));
    let text = warning.to_string();
    assert!(text.contains("no tensors of an image branch, though config.json names it (image_dim, added"), "{text}");

    for name in ["condition_embedder.image_embedder.norm1.weight", "blocks.1.attn2.add_k_proj.weight"] {
        let folder = checkpoint();
        add_tensor(&folder.path(TRANSFORMER), name, "F32", &[1], 4);
        let text = open(&folder, Mapping::Map).map(drop).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("belongs to an image branch, which is not supported"), "{text}");
    }
}

/// FastWan's folders: the same components under another pipeline's name.
#[test]
fn a_distilled_pipeline_opens_with_a_warning() {
    let folder = checkpoint();
    edit_json(&folder.path("model_index.json"), |index| {
        index["_class_name"] = json!("WanDMDPipeline");
        index.insert("image_encoder".into(), json!([null, null]));
        index.insert("workload_type".into(), json!("t2v"));
    });
    let [warning @ Warning::Distilled { .. }] = &open(&folder, Mapping::Map).unwrap().warnings[..] else {
        panic!("one warning");
    };
    let text = warning.to_string();
    assert!(text.contains("WanDMDPipeline") && text.contains("--sigmas 1,0.757,0.522 --guidance 1"), "{text}");
}

/// The published 1.3B's files, as far as they bear on us: keys absent that later versions have.
#[test]
fn the_published_configurations_are_accepted() {
    let folder = Temp::new();
    for component in ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        fs::create_dir(folder.path(component)).unwrap();
    }
    write_json(
        &folder.path("model_index.json"),
        &json!({
            "_class_name": "WanPipeline", "_diffusers_version": "0.33.0.dev0",
            "scheduler": ["diffusers", "UniPCMultistepScheduler"], "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "T5TokenizerFast"], "transformer": ["diffusers", "WanTransformer3DModel"],
            "vae": ["diffusers", "AutoencoderKLWan"],
        }),
    );
    write_json(
        &folder.path("text_encoder/config.json"),
        &json!({
            "architectures": ["UMT5EncoderModel"], "model_type": "umt5", "vocab_size": 256_384, "d_model": 4096, "d_kv": 64,
            "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new",
            "is_gated_act": true, "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128, "scalable_attention": true, "tie_word_embeddings": false,
        }),
    );
    write_json(
        &folder.path("transformer/config.json"),
        &json!({
            "_class_name": "WanTransformer3DModel", "added_kv_proj_dim": null, "attention_head_dim": 128,
            "cross_attn_norm": true, "eps": 1e-6, "ffn_dim": 8960, "freq_dim": 256, "image_dim": null, "in_channels": 16,
            "num_attention_heads": 12, "num_layers": 30, "out_channels": 16, "patch_size": [1, 2, 2],
            "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024, "text_dim": 4096,
        }),
    );
    write_json(
        &folder.path("vae/config.json"),
        &json!({
            "_class_name": "AutoencoderKLWan", "attn_scales": [], "base_dim": 96, "dim_mult": [1, 2, 4, 4], "dropout": 0.0,
            "num_res_blocks": 2, "temperal_downsample": [false, true, true], "z_dim": 16,
        }),
    );
    let configs = Configs::read(&Checkpoint::open(&folder.path(""), Mapping::Map).unwrap()).unwrap();
    assert_eq!(configs.transformer.inner_dim(), 1536);
    assert_eq!(configs.text_encoder.inner_dim(), 4096);
    assert_eq!(wan::name_table(&configs.transformer).tensors().count(), 825);
    assert_eq!(umt5::name_table(&configs.text_encoder).tensors().count(), 242);
    assert_eq!(configs.vae.spatial_factor(), 8);
}
