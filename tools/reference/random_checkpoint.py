"""Writes a random checkpoint with the true shapes of Wan2.1-T2V-1.3B and a UMT5 of full width, in the diffusers layout.

    python random_checkpoint.py OUT [--layers 30] [--text-layers 2] [--dtype bf16] [--seed 0]

Needs numpy and the tokenizer libraries, not torch. Tensors go to disk piece by piece: memory stays under 200 MB.
"""

import argparse
import json
import math
import pathlib
import struct
import tempfile

import numpy as np
import small_tokenizer
import weights

PIECE = 1 << 22
SHARD = 2_000_000_000

MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508]
MEAN += [0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743]
STD += [3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]


def encode(values, dtype):
    """f32 values as little-endian bytes of the storage type; bf16 rounds to nearest even."""
    if dtype == "bf16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return values.astype({"f16": "<f2", "f32": "<f4"}[dtype]).tobytes()


def write_file(path, tensors, dtype, seed, d_kv):
    """One safetensors file of random tensors, {name: shape}, streamed."""
    width = 4 if dtype == "f32" else 2
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        end = at + width * math.prod(shape)
        header[name] = {"dtype": dtype.upper(), "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors.items():
            mean, deviation = weights.rule(name, shape, d_kv)
            if name.startswith("decoder.conv_out."):
                # Pixels of deviation about 0.35: mostly inside -1..1.
                deviation *= 0.6
            random = np.random.Generator(np.random.SFC64(weights.seed(seed, path.parent.name, name)))
            left = math.prod(shape)
            while left:
                count = min(left, PIECE)
                values = random.standard_normal(count, dtype=np.float32)
                values *= np.float32(deviation)
                values += np.float32(mean)
                file.write(encode(values, dtype))
                left -= count


def write_part(folder, stem, tensors, dtype, seed, d_kv=1):
    """A component's files: one, or shards of at most 2 GB (or a single tensor) with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    width = 4 if dtype == "f32" else 2
    shards, size = [{}], 0
    for name, shape in tensors.items():
        bytes_ = width * math.prod(shape)
        if shards[-1] and size + bytes_ > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = shape
        size += bytes_
    if len(shards) == 1:
        write_file(folder / f"{stem}.safetensors", shards[0], dtype, seed, d_kv)
        return
    index = {"metadata": {"total_size": width * sum(math.prod(s) for s in tensors.values())}, "weight_map": {}}
    for i, shard in enumerate(shards):
        file = f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors"
        write_file(folder / file, shard, dtype, seed, d_kv)
        index["weight_map"].update({name: file for name in shard})
    write_json(folder / f"{stem}.safetensors.index.json", index)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def linear(out, name, rows, columns):
    out[f"{name}.weight"], out[f"{name}.bias"] = (rows, columns), (rows,)


def conv(out, name, rows, columns, *kernel):
    out[f"{name}.weight"], out[f"{name}.bias"] = (rows, columns, *kernel), (rows,)


def transformer(layers, dim=1536, ffn=8960, channels=16, text=4096, freq=256):
    out = {}
    conv(out, "patch_embedding", dim, channels, 1, 2, 2)
    linear(out, "condition_embedder.time_embedder.linear_1", dim, freq)
    linear(out, "condition_embedder.time_embedder.linear_2", dim, dim)
    linear(out, "condition_embedder.time_proj", 6 * dim, dim)
    linear(out, "condition_embedder.text_embedder.linear_1", dim, text)
    linear(out, "condition_embedder.text_embedder.linear_2", dim, dim)
    for i in range(layers):
        block = f"blocks.{i}"
        out[f"{block}.scale_shift_table"] = (1, 6, dim)
        for attention in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                linear(out, f"{block}.{attention}.{part}", dim, dim)
            for part in ("norm_q", "norm_k"):
                out[f"{block}.{attention}.{part}.weight"] = (dim,)
        out[f"{block}.norm2.weight"] = out[f"{block}.norm2.bias"] = (dim,)
        linear(out, f"{block}.ffn.net.0.proj", ffn, dim)
        linear(out, f"{block}.ffn.net.2", dim, ffn)
    out["scale_shift_table"] = (1, 2, dim)
    linear(out, "proj_out", 4 * channels, dim)
    return out


def text_encoder(layers, dim=4096, heads=64, d_kv=64, ffn=10240, vocabulary=256384, buckets=32):
    out = {"shared.weight": (vocabulary, dim)}
    for i in range(layers):
        first, second = f"encoder.block.{i}.layer.0", f"encoder.block.{i}.layer.1"
        for part in "qkv":
            out[f"{first}.SelfAttention.{part}.weight"] = (heads * d_kv, dim)
        out[f"{first}.SelfAttention.o.weight"] = (dim, heads * d_kv)
        out[f"{first}.SelfAttention.relative_attention_bias.weight"] = (buckets, heads)
        out[f"{first}.layer_norm.weight"] = (dim,)
        for part in ("wi_0", "wi_1"):
            out[f"{second}.DenseReluDense.{part}.weight"] = (ffn, dim)
        out[f"{second}.DenseReluDense.wo.weight"] = (dim, ffn)
        out[f"{second}.layer_norm.weight"] = (dim,)
    out["encoder.final_layer_norm.weight"] = (dim,)
    return out


def vae(base=96, z=16, mult=(1, 2, 4, 4), blocks=2, temporal=(False, True, True)):
    out = {}

    def resnet(name, rows_in, rows):
        out[f"{name}.norm1.gamma"] = (rows_in, 1, 1, 1)
        conv(out, f"{name}.conv1", rows, rows_in, 3, 3, 3)
        out[f"{name}.norm2.gamma"] = (rows, 1, 1, 1)
        conv(out, f"{name}.conv2", rows, rows, 3, 3, 3)
        if rows_in != rows:
            conv(out, f"{name}.conv_shortcut", rows, rows_in, 1, 1, 1)

    def middle(name, rows):
        resnet(f"{name}.resnets.0", rows, rows)
        out[f"{name}.attentions.0.norm.gamma"] = (rows, 1, 1)
        conv(out, f"{name}.attentions.0.to_qkv", 3 * rows, rows, 1, 1)
        conv(out, f"{name}.attentions.0.proj", rows, rows, 1, 1)
        resnet(f"{name}.resnets.1", rows, rows)

    dims = [base * m for m in (1, *mult)]
    conv(out, "encoder.conv_in", dims[0], 3, 3, 3, 3)
    at = 0
    for level, (rows_in, rows) in enumerate(zip(dims[:-1], dims[1:])):
        for _ in range(blocks):
            resnet(f"encoder.down_blocks.{at}", rows_in, rows)
            rows_in, at = rows, at + 1
        if level + 1 < len(mult):
            conv(out, f"encoder.down_blocks.{at}.resample.1", rows, rows, 3, 3)
            if temporal[level]:
                conv(out, f"encoder.down_blocks.{at}.time_conv", rows, rows, 3, 1, 1)
            at += 1
    middle("encoder.mid_block", dims[-1])
    out["encoder.norm_out.gamma"] = (dims[-1], 1, 1, 1)
    conv(out, "encoder.conv_out", 2 * z, dims[-1], 3, 3, 3)
    conv(out, "quant_conv", 2 * z, 2 * z, 1, 1, 1)
    conv(out, "post_quant_conv", z, z, 1, 1, 1)

    dims = [base * m for m in (mult[-1], *mult[::-1])]
    conv(out, "decoder.conv_in", dims[0], z, 3, 3, 3)
    middle("decoder.mid_block", dims[0])
    for level, (rows_in, rows) in enumerate(zip(dims[:-1], dims[1:])):
        rows_in = rows_in // 2 if level else rows_in
        for j in range(blocks + 1):
            resnet(f"decoder.up_blocks.{level}.resnets.{j}", rows_in, rows)
            rows_in = rows
        if level + 1 < len(mult):
            up = f"decoder.up_blocks.{level}.upsamplers.0"
            conv(out, f"{up}.resample.1", rows // 2, rows, 3, 3)
            if temporal[::-1][level]:
                conv(out, f"{up}.time_conv", 2 * rows, rows, 3, 1, 1)
    out["decoder.norm_out.gamma"] = (dims[-1], 1, 1, 1)
    conv(out, "decoder.conv_out", 3, dims[-1], 3, 3, 3)
    return out


def configs(layers, text_layers, dtype):
    """{path: contents} of every configuration file, with the keys that the published folder has."""
    torch_dtype = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}[dtype]
    version = {"_diffusers_version": "0.33.0.dev0"}
    return {
        "model_index.json": version
        | {
            "_class_name": "WanPipeline",
            "scheduler": ["diffusers", "UniPCMultistepScheduler"],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "WanTransformer3DModel"],
            "vae": ["diffusers", "AutoencoderKLWan"],
        },
        "scheduler/scheduler_config.json": version
        | {
            "_class_name": "UniPCMultistepScheduler",
            "disable_corrector": [],
            "final_sigmas_type": "zero",
            "flow_shift": 3.0,
            "lower_order_final": True,
            "num_train_timesteps": 1000,
            "predict_x0": True,
            "prediction_type": "flow_prediction",
            "solver_order": 2,
            "solver_type": "bh2",
            "steps_offset": 0,
            "thresholding": False,
            "timestep_spacing": "linspace",
            "use_flow_sigmas": True,
        },
        "text_encoder/config.json": {
            "architectures": ["UMT5EncoderModel"],
            "d_ff": 10240,
            "d_kv": 64,
            "d_model": 4096,
            "dense_act_fn": "gelu_new",
            "dropout_rate": 0.1,
            "eos_token_id": 1,
            "feed_forward_proj": "gated-gelu",
            "is_encoder_decoder": True,
            "is_gated_act": True,
            "layer_norm_epsilon": 1e-06,
            "model_type": "umt5",
            "num_heads": 64,
            "num_layers": text_layers,
            "pad_token_id": 0,
            "relative_attention_max_distance": 128,
            "relative_attention_num_buckets": 32,
            "scalable_attention": True,
            "tie_word_embeddings": False,
            "tokenizer_class": "T5Tokenizer",
            "torch_dtype": torch_dtype,
            "vocab_size": 256384,
        },
        "transformer/config.json": version
        | {
            "_class_name": "WanTransformer3DModel",
            "added_kv_proj_dim": None,
            "attention_head_dim": 128,
            "cross_attn_norm": True,
            "eps": 1e-06,
            "ffn_dim": 8960,
            "freq_dim": 256,
            "image_dim": None,
            "in_channels": 16,
            "num_attention_heads": 12,
            "num_layers": layers,
            "out_channels": 16,
            "patch_size": [1, 2, 2],
            "qk_norm": "rms_norm_across_heads",
            "rope_max_seq_len": 1024,
            "text_dim": 4096,
        },
        "vae/config.json": version
        | {
            "_class_name": "AutoencoderKLWan",
            "attn_scales": [],
            "base_dim": 96,
            "dim_mult": [1, 2, 4, 4],
            "dropout": 0.0,
            "latents_mean": MEAN,
            "latents_std": STD,
            "num_res_blocks": 2,
            "temperal_downsample": [False, True, True],
            "z_dim": 16,
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=30, help="transformer blocks")
    parser.add_argument("--text-layers", type=int, default=2, help="layers of the text encoder; the true one has 24")
    parser.add_argument("--dtype", choices=("bf16", "f16", "f32"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.layers < 1 or options.text_layers < 1:
        parser.error("at least one layer of each")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    for path, value in configs(options.layers, options.text_layers, options.dtype).items():
        write_json(options.out / path, value)
    with tempfile.TemporaryDirectory() as scratch:
        small_tokenizer.write(options.out / "tokenizer", scratch, "current")
    diffusion = "diffusion_pytorch_model"
    write_part(options.out / "vae", diffusion, vae(), options.dtype, options.seed)
    write_part(options.out / "transformer", diffusion, transformer(options.layers), options.dtype, options.seed)
    parts = text_encoder(options.text_layers)
    write_part(options.out / "text_encoder", "model", parts, options.dtype, options.seed, d_kv=64)
    total = sum(p.stat().st_size for p in options.out.rglob("*") if p.is_file())
    print(f"{options.out}: {total / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
