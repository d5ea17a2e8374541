"""The autoencoder: diffusers' AutoencoderKLWan, its forward pass over whole clips at once, fast enough to train.

diffusers feeds a clip in chunks and keeps the last frames of each layer; on whole clips the same sums need no cache:
every convolution is causal, and only the layers that halve or double time treat the first frame apart.
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan

# 16x16 pixels and 4 frames for a latent position; the encoder narrower than the decoder.
CONFIG = {
    "base_dim": 8,
    "decoder_base_dim": 16,
    "z_dim": 16,
    "dim_mult": [1, 2, 3, 3, 3],
    "num_res_blocks": 1,
    "temperal_downsample": [False, False, True, True],
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 16,
    "latents_std": [1.0] * 16,
}


# Channels that carry the picture through all layers at the start: red, green, blue, their negatives, a constant.
CARRIERS, CONSTANT = 7, 2.0


def build(seed: int = 0) -> AutoencoderKLWan:
    """A fresh autoencoder that already gives back a blurred picture.

    Seven channels pass every layer unchanged, averaged on the way down and repeated on the way up. The pair of a colour
    and its negative makes the activation linear (silu(x) - silu(-x) = x), the constant keeps the last norms from
    dividing colours away. Everything else starts random and small, each frame seen alone.
    """
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(**CONFIG)
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, (torch.nn.Conv3d, torch.nn.Conv2d)):
                torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                torch.nn.init.zeros_(module.bias)
                if module.weight.ndim == 5 and module.kernel_size == (3, 3, 3):
                    module.weight[:, :, :2] = 0
                    module.weight[:, :, 2] *= 3**0.5
        for module in vae.modules():
            kind = type(module).__name__
            if kind == "WanResidualBlock":
                module.conv2.weight.mul_(0.3)
                module.conv2.weight[:CARRIERS] *= 0.1
                if isinstance(module.conv_shortcut, torch.nn.Conv3d):
                    _carry(module.conv_shortcut.weight)
            elif kind == "WanAttentionBlock":
                module.proj.weight.mul_(0.1)
                module.proj.weight[:CARRIERS] *= 0.1
            elif kind == "WanResample":
                down = module.mode.startswith("downsample")
                taps = (slice(0, 2), slice(0, 2)) if down else (1, 1)
                _carry(module.resample[1].weight, taps, 0.25 if down else 1.0)
                if hasattr(module, "time_conv"):
                    weight = module.time_conv.weight
                    weight.mul_(0.3)
                    for half in weight.split(weight.shape[1]):
                        _carry(half, (slice(1, 3) if down else 2, 0, 0), 0.5 if down else 1.0)
        z, colours = CONFIG["z_dim"], range(3)
        for part, (rows, fed) in ((vae.encoder, (2 * z, 3)), (vae.decoder, (3, z))):
            assert part.conv_in.in_channels == fed and part.conv_out.out_channels == rows
            into, out = part.conv_in, part.conv_out
            into.weight[:CARRIERS] = 0
            into.bias[CARRIERS - 1] = CONSTANT
            # What the last norm makes of a carrier of a middling colour.
            gain = (out.in_channels / (2 * 3 * 0.25 + CONSTANT**2)) ** 0.5
            out.weight.mul_(0.3)
            out.weight[:3] *= 0.1
            for c in colours:
                into.weight[c, c, 2, 1, 1], into.weight[c + 3, c, 2, 1, 1] = 1, -1
                out.weight[c, c, 2, 1, 1] += 1 / gain
                out.weight[c, c + 3, 2, 1, 1] -= 1 / gain
        for conv in (vae.quant_conv, vae.post_quant_conv):
            conv.weight.copy_(torch.eye(conv.out_channels)[:, :, None, None, None])
        vae.quant_conv.bias[z:] = -4.0
        vae.quant_conv.weight[z:] *= 0.1
    return vae


def _carry(weight: torch.Tensor, taps=(), value: float = 1.0) -> None:
    """Lets the carriers pass a convolution alone: nothing else flows into them, `taps` of each take its own channel."""
    weight[:CARRIERS] = 0
    for channel in range(CARRIERS):
        weight[(channel, channel, *taps)] = value


def _causal(conv, x):
    """A causal convolution over whole clips: zeros stand before the first frame."""
    time, tall, wide = conv.kernel_size
    if time > 1:
        x = F.pad(x, (0, 0, 0, 0, time - 1, 0))
    return F.conv3d(x, conv.weight, conv.bias, conv.stride, (0, tall // 2, wide // 2))


def _norm(norm, x):
    """RMS norm over the channels, in f32."""
    scale = torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-12)
    return x * scale.to(x.dtype) * norm.gamma.to(x.dtype)


def _block(block, x):
    h = _causal(block.conv1, F.silu(_norm(block.norm1, x)))
    h = _causal(block.conv2, F.silu(_norm(block.norm2, h)))
    shortcut = block.conv_shortcut
    return h + (_causal(shortcut, x) if isinstance(shortcut, torch.nn.Conv3d) else x)


def _frames(x):
    """[B, C, T, H, W] as pictures [B*T, C, H, W]."""
    return x.transpose(1, 2).flatten(0, 1)


def _attention(block, x):
    b, c, t, h, w = x.shape
    flat = _norm(block.norm, _frames(x))
    q, k, v = block.to_qkv(flat).flatten(2).transpose(1, 2).chunk(3, -1)
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b * t, c, h, w)
    return x + block.proj(out).unflatten(0, (b, t)).transpose(1, 2)


def _middle(block, x):
    x = _block(block.resnets[0], x)
    return _block(block.resnets[1], _attention(block.attentions[0], x))


def _down(step, x):
    """Halves rows and columns, and frames where the step has a convolution over time."""
    conv = step.resample[1]
    x = F.pad(x, (0, 1, 0, 1))
    x = F.conv3d(x, conv.weight[:, :, None], conv.bias, (1, 2, 2))
    if step.mode == "downsample3d" and x.shape[2] > 1:
        later = F.conv3d(x, step.time_conv.weight, step.time_conv.bias, (2, 1, 1))
        x = torch.cat([x[:, :, :1], later], 2)
    return x


def _up(step, x):
    """Doubles rows and columns, and all frames but the first where the step has a convolution over time."""
    if step.mode == "upsample3d" and x.shape[2] > 1:
        later = _causal(step.time_conv, x[:, :, 1:])
        b, c, t, h, w = later.shape
        later = later.view(b, 2, c // 2, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c // 2, 2 * t, h, w)
        x = torch.cat([x[:, :, :1], later], 2)
    conv = step.resample[1]
    x = F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
    return F.conv3d(x, conv.weight[:, :, None], conv.bias, padding=(0, 1, 1))


def encode(vae: AutoencoderKLWan, clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log variances [B, 16, 1+(T-1)/4, H/16, W/16] of clips [B, 3, T, H, W] in -1..1."""
    enc = vae.encoder
    x = _causal(enc.conv_in, clip.contiguous(memory_format=torch.channels_last_3d))
    for layer in enc.down_blocks:
        x = _down(layer, x) if hasattr(layer, "resample") else _block(layer, x)
    x = _middle(enc.mid_block, x)
    x = _causal(enc.conv_out, F.silu(_norm(enc.norm_out, x)))
    mean, log_variance = _causal(vae.quant_conv, x).float().chunk(2, 1)
    return mean, log_variance.clamp(-30, 20)


def decode(vae: AutoencoderKLWan, latent: torch.Tensor) -> torch.Tensor:
    """Clips [B, 3, T, H, W] (not clamped) of latents that are not normalised."""
    dec = vae.decoder
    x = _causal(vae.post_quant_conv, latent.contiguous(memory_format=torch.channels_last_3d))
    x = _middle(dec.mid_block, _causal(dec.conv_in, x))
    for level in dec.up_blocks:
        for block in level.resnets:
            x = _block(block, x)
        if level.upsamplers is not None:
            x = _up(level.upsamplers[0], x)
    return _causal(dec.conv_out, F.silu(_norm(dec.norm_out, x))).float()
