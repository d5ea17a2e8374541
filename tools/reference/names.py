"""Writes tests/fixtures/names.json: names and shapes of the tensors that diffusers' and transformers' own classes have,
for a few configurations. `tests/weights.rs` holds the name tables against it. No weights are made (meta device)."""

import json
import pathlib

import together  # noqa: F401

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

TRANSFORMER = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 3,
    "attention_head_dim": 24,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 20,
    "freq_dim": 32,
    "ffn_dim": 50,
    "num_layers": 2,
    "cross_attn_norm": True,
}
VAE = {
    "base_dim": 6,
    "z_dim": 4,
    "dim_mult": [1, 2, 3],
    "num_res_blocks": 1,
    "temperal_downsample": [False, True],
    "latents_mean": [0.0] * 4,
    "latents_std": [1.0] * 4,
    "scale_factor_temporal": 2,
    "scale_factor_spatial": 4,
}
UMT5 = {"vocab_size": 30, "d_model": 20, "d_kv": 6, "d_ff": 28, "num_layers": 2, "num_heads": 5}

CASES = [
    ("transformer", TRANSFORMER),
    ("transformer", {**TRANSFORMER, "cross_attn_norm": False, "out_channels": None, "patch_size": [2, 1, 3]}),
    ("transformer", {**TRANSFORMER, "attention_head_dim": 44, "num_layers": 1, "out_channels": 6, "qk_norm": None}),
    ("vae", VAE),
    ("vae", {**VAE, "decoder_base_dim": 10, "num_res_blocks": 2, "temperal_downsample": [True, False]}),
    (
        "vae",
        {
            **VAE,
            "dim_mult": [1, 2, 2, 1],
            "base_dim": 7,
            "temperal_downsample": [False, True, True],
            "scale_factor_temporal": 4,
            "scale_factor_spatial": 8,
        },
    ),
    ("vae", {**VAE, "dim_mult": [2, 1], "temperal_downsample": [True], "scale_factor_spatial": 2}),
    ("text_encoder", UMT5),
    ("text_encoder", {**UMT5, "num_layers": 1, "relative_attention_num_buckets": 12, "d_kv": 4}),
]


def build(kind, config):
    with torch.device("meta"):
        if kind == "transformer":
            return WanTransformer3DModel(**config)
        if kind == "vae":
            return AutoencoderKLWan(**config)
        return UMT5EncoderModel(UMT5Config(**config))


def needed(kind, name):
    """What decoding needs of the autoencoder; one of the two names of UMT5's embedding."""
    if kind == "vae":
        return name.startswith(("decoder.", "post_quant_conv."))
    return name != "encoder.embed_tokens.weight"


def main():
    cases = []
    for kind, config in CASES:
        tensors = {name: list(t.shape) for name, t in build(kind, config).state_dict().items() if needed(kind, name)}
        cases.append({"kind": kind, "config": config, "tensors": tensors})
    path = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "names.json"
    lines = []
    for case in cases:
        tensors = ",\n".join(f"  {json.dumps(name)}: {json.dumps(shape)}" for name, shape in case["tensors"].items())
        lines.append(f'{{"kind": "{case["kind"]}", "config": {json.dumps(case["config"])}, "tensors": {{\n{tensors}}}}}')
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
