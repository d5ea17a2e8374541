//! A checkpoint with one number that is none: the run says where.

mod checkpoints;

use checkpoints::{Copy, poison};
use zoetrope::video::NullSink;
use zoetrope::weights::Mapping;
use zoetrope::{Device, Error, Pipeline, Progress, Prompt, Request, Steps};

/// Two steps of a tiny clip.
fn request() -> Request {
    let steps = Steps::Schedule { schedule: Default::default(), steps: 2, shift: None };
    let prompts = (Prompt::Tokens(vec![5, 9, 1]), Prompt::Tokens(vec![1]));
    Request { width: 48, height: 32, frames: 5, steps, ..Request::new(prompts.0, prompts.1) }
}

/// What a run says once a number is not what it was, and how many steps and frames it had done.
fn poisoned(name: &str, component: &str, tensor: &str, index: usize, value: f32) -> (Result<(), Error>, [usize; 2]) {
    let checkpoint = Copy::of(name);
    poison(&checkpoint, component, tensor, index, value);
    let pipeline = Pipeline::open(&checkpoint.0, Mapping::Map).unwrap();
    let mut seen = [0, 0];
    let count = &mut |progress: Progress| match progress {
        Progress::Step { done, .. } => seen[0] = done,
        Progress::Frame { done, .. } => seen[1] = done,
        _ => {}
    };
    let device = Device::cpu().unwrap();
    let outcome = pipeline.generate(&device, &request(), &mut NullSink, count);
    assert_eq!(device.pool_stats().live, 0);
    (outcome, seen)
}

#[test]
fn one_poisoned_number_is_named_by_stage_step_and_layer() {
    let text = |layer: &'static str| ("text_encoder", "text encoder", None, layer, [0, 0]);
    let context = |layer: &'static str| ("transformer", "transformer", None, layer, [0, 0]);
    let step = |layer: &'static str| ("transformer", "transformer", Some(1), layer, [0, 0]);
    let vae = |layer: &'static str, frames| ("vae", "VAE decoder", None, layer, [2, frames]);
    let cases = [
        // The row of token 9.
        ("shared.weight", 9 * 32, text("shared")),
        ("encoder.block.0.layer.0.layer_norm.weight", 3, text("encoder.block.0.layer.0.layer_norm")),
        (
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            0,
            text("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
        ),
        ("encoder.block.1.layer.0.SelfAttention.q.weight", 5, text("encoder.block.1.layer.0.SelfAttention.q")),
        ("encoder.block.1.layer.1.DenseReluDense.wo.weight", 7, text("encoder.block.1.layer.1.DenseReluDense.wo")),
        ("encoder.final_layer_norm.weight", 31, text("encoder.final_layer_norm")),
        ("condition_embedder.text_embedder.linear_2.bias", 1, context("condition_embedder.text_embedder.linear_2")),
        ("blocks.1.attn2.to_k.weight", 0, context("blocks.1.attn2.to_k")),
        ("blocks.0.attn2.norm_k.weight", 0, context("blocks.0.attn2.norm_k")),
        ("patch_embedding.weight", 0, step("patch_embedding")),
        ("condition_embedder.time_embedder.linear_1.weight", 2, step("condition_embedder.time_embedder.linear_1")),
        ("condition_embedder.time_proj.bias", 2, step("condition_embedder.time_proj")),
        ("blocks.0.scale_shift_table", 90, step("blocks.0.scale_shift_table")),
        ("blocks.0.norm2.bias", 4, step("blocks.0.norm2")),
        ("blocks.0.attn1.to_q.weight", 17, step("blocks.0.attn1.to_q")),
        ("blocks.1.attn1.norm_k.weight", 17, step("blocks.1.attn1.norm_k")),
        ("blocks.1.attn2.to_q.bias", 1, step("blocks.1.attn2.to_q")),
        ("blocks.1.ffn.net.0.proj.weight", 1, step("blocks.1.ffn.net.0.proj")),
        ("blocks.1.ffn.net.2.weight", 1, step("blocks.1.ffn.net.2")),
        ("scale_shift_table", 1, step("scale_shift_table")),
        ("proj_out.weight", 0, step("proj_out")),
        ("post_quant_conv.weight", 0, vae("post_quant_conv", 0)),
        ("decoder.conv_in.weight", 49, vae("decoder.conv_in", 0)),
        ("decoder.mid_block.attentions.0.to_qkv.weight", 0, vae("decoder.mid_block.attentions.0.to_qkv", 0)),
        ("decoder.mid_block.resnets.1.norm2.gamma", 0, vae("decoder.mid_block.resnets.1.norm2", 0)),
        ("decoder.up_blocks.2.resnets.1.conv1.weight", 80, vae("decoder.up_blocks.2.resnets.1.conv1", 0)),
        // Over time nothing is done before the second frame of the latent.
        ("decoder.up_blocks.0.upsamplers.0.time_conv.weight", 2, vae("decoder.up_blocks.0.upsamplers.0.time_conv", 1)),
        ("decoder.norm_out.gamma", 0, vae("decoder.norm_out", 0)),
        ("decoder.conv_out.bias", 2, vae("decoder.conv_out", 0)),
    ];
    for (tensor, index, (component, stage, step, layer, seen)) in cases {
        for value in [f32::NAN, f32::INFINITY] {
            let (outcome, done) = poisoned("b", component, tensor, index, value);
            let error = outcome.expect_err(tensor);
            let Error::NotFinite { stage: found, step: at, layer: Some(first) } = &error else {
                panic!("{tensor}, {value}: {error}");
            };
            assert_eq!((*found, *at, first.as_str(), done), (stage, step, layer, seen), "{tensor}, {value}");
            assert!(error.to_string().contains(layer) && error.to_string().contains(stage), "{error}");
        }
    }
    // The other storage types.
    for name in ["a", "c"] {
        let (outcome, _) = poisoned(name, "transformer", "blocks.0.ffn.net.2.weight", 1, f32::NAN);
        let error = outcome.expect_err(name).to_string();
        assert!(error.contains("transformer") && error.contains("step 1, first in blocks.0.ffn.net.2"), "{error}");
    }
}

#[test]
fn what_is_not_used_may_be_poisoned() {
    // The embedding of a token that neither prompt has; the half of the autoencoder that encodes.
    for (name, component, tensor, index) in
        [("b", "text_encoder", "shared.weight", 200 * 32), ("d", "vae", "encoder.conv_in.weight", 0)]
    {
        let (outcome, seen) = poisoned(name, component, tensor, index, f32::NAN);
        assert!(outcome.is_ok() && seen == [2, 5], "{tensor}: {outcome:?}");
    }
}
