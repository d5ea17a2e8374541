"""How random weights are scaled, by the tensor's name in the diffusers layout: one rule for every made-up checkpoint."""

import math
import zlib


def seed(*names):
    """A seed that depends on names alone, so that one tensor's values do not move when others come or go."""
    return zlib.crc32("/".join(str(n) for n in names).encode())


def rule(name, shape, d_kv=1):
    """(mean, deviation) of a parameter: activations stay O(1), attention is far from uniform, gates and biases matter."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "gamma" or (leaf == "weight" and "norm" in name):
        gain = 1.3 if "norm_q" in name or "norm_k" in name else 1.0
        return gain, 0.2 * gain
    if leaf == "scale_shift_table":
        return 0.0, 0.4
    if leaf == "bias":
        return 0.0, 0.1
    if "relative_attention_bias" in name or "shared" in name or "embed_tokens" in name:
        return 0.0, 1.0
    deviation = math.prod(shape[1:]) ** -0.5
    if name.endswith("SelfAttention.q.weight"):
        # UMT5 does not divide its scores by the root of the head's width.
        deviation *= 1.5 * d_kv**-0.5
    if "to_qkv" in name:
        deviation *= 1.3
    return 0.0, deviation
