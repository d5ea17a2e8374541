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
    "z_dim": 20,
    "dim_mult": [1, 2, 3, 3, 3],
    "num_res_blocks": 1,
    "temperal_downsample": [False, False, True, True],
    "scale_factor_temporal": 4,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 20,
    "latents_std": [1.0] * 20,
}


# Channels of the decoder that carry the picture through all layers at the start: three colours, their negatives, a
# constant; and how strong all other channels start.
CARRIERS, CONSTANT, OTHERS = 7, 4.0, 0.4
# The encoder's constant, large enough to make its last norm and activation linear.
LARGE = 200.0
# Its channel, before and after the last step down.
CONSTANT_EARLY, CONSTANT_LATE = 3, 12
# Weights of an earlier and a later frame where time is halved: not the same, so that the order of frames can be told.
EARLIER, LATER = 0.3, 0.7
LUMINANCE = (0.3, 0.59, 0.11)
# Channels of a latent set by hand, the pictures; those after them, the marks, are learnt.
PICTURE = 16


def build(seed: int = 0) -> AutoencoderKLWan:
    """An autoencoder whose encoder is mostly set by hand and whose decoder already gives back a blurred picture.

    What the encoder does is in `pooled`. That needs no training, and the latents are what they are from the first step
    on: small pictures, easy for the transformer, from which the decoder has to learn the sharp ones. Four channels
    more, `marked`, start at zero and are learnt (recognise.py).

    In the decoder seven channels pass every layer unchanged. The pair of a colour and its negative makes the last
    activation linear (silu(x) - silu(-x) = x), the constant keeps the last norm from dividing colours away. All else
    starts random and small, each frame seen alone.
    """
    torch.manual_seed(seed)
    vae = AutoencoderKLWan(**CONFIG)
    with torch.no_grad():
        _set_encoder(vae)
        _start_decoder(vae)
    return vae


def marked(marks: torch.Tensor, pixels: int = 4) -> torch.Tensor:
    """What the encoder's last four channels learn: marks [B, 4, T, h, w], means of `pixels` and of four frames."""
    return _later(_later(F.avg_pool3d(marks, (1, pixels, pixels))))


def _later(frames: torch.Tensor) -> torch.Tensor:
    """Half of the frames after the first."""
    return torch.cat([frames[:, :, :1], EARLIER * frames[:, :, 1::2] + LATER * frames[:, :, 2::2]], 2)


def pooled(clip: torch.Tensor, pixels: int = 8) -> torch.Tensor:
    """What the encoder's first channels are, [B, 16, 1+(T-1)/4, H/16, W/16] of clips [B, 3, T, H, W].

    Twelve channels: the mean colours of the four quarters of 8x8 pixels of a position, over its four frames with
    weights that grow; four: how the quarters' luminance changes between the first and the last two frames, doubled.
    A clip drawn smaller has fewer `pixels` to a quarter's side.
    """
    small = F.avg_pool3d(clip, (1, pixels, pixels))
    half = _later(small)
    b, c, t, h, w = half.shape
    quarters = half.view(b, c, t, h // 2, 2, w // 2, 2).permute(0, 4, 6, 1, 2, 3, 5).reshape(b, 4, c, t, h // 2, w // 2)
    first, one, two = quarters[:, :, :, :1], quarters[:, :, :, 1::2], quarters[:, :, :, 2::2]
    colours = torch.cat([first, EARLIER * one + LATER * two], 3).flatten(1, 2)
    weights = clip.new_tensor(LUMINANCE).view(1, 1, 3, 1, 1, 1)
    change = 2 * ((two - one) * weights).sum(2)
    return torch.cat([colours, F.pad(change, (0, 0, 0, 0, 1, 0))], 1)


def _set_encoder(vae: AutoencoderKLWan) -> None:
    """Weights that make the encoder compute `pooled`: residual branches silent, shortcuts and steps down as sums."""
    encoder, z = vae.encoder, CONFIG["z_dim"]
    for module in [*encoder.modules(), vae.quant_conv]:
        if isinstance(module, (torch.nn.Conv3d, torch.nn.Conv2d)):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            torch.nn.init.zeros_(module.bias)
    for name, conv in encoder.named_modules():
        if not isinstance(conv, (torch.nn.Conv3d, torch.nn.Conv2d)):
            continue
        if name.endswith(("conv2", "proj")):
            conv.weight[: _taken(name)] = 0
        if name.endswith("conv_shortcut"):
            conv.weight[:4] = 0
            for channel in range(4):
                conv.weight[channel, channel] = 1
    encoder.conv_in.weight[: CONSTANT_EARLY + 1] = 0
    encoder.conv_in.bias[CONSTANT_EARLY] = LARGE
    for colour in range(3):
        encoder.conv_in.weight[colour, colour, 2, 1, 1] = 1
    steps = [module for module in encoder.down_blocks if hasattr(module, "resample")]
    for step in steps:
        step.resample[1].weight[: CONSTANT_EARLY + 1] = 0
        for channel in range(CONSTANT_EARLY + 1):
            step.resample[1].weight[channel, channel, :2, :2] = 0.25
        if hasattr(step, "time_conv"):
            _mix(step.time_conv.weight, range(4), range(4))
    # All other channels are learnt; beside the constant no layer would see them, were the norms not as large.
    for name, norm in encoder.named_modules():
        if name.endswith(("norm1", ".norm")):
            late = name.startswith(("mid_block", f"down_blocks.{len(encoder.down_blocks) - 1}."))
            norm.gamma.fill_(LARGE / len(norm.gamma) ** 0.5)
            norm.gamma[CONSTANT_LATE if late else CONSTANT_EARLY] = 0.1
    encoder.norm_out.gamma[PICTURE + 1 :] = LARGE / len(encoder.norm_out.gamma) ** 0.5
    last = steps[-1]
    last.resample[1].weight[: PICTURE + 1] = 0
    last.resample[1].weight[CONSTANT_LATE, CONSTANT_EARLY, :2, :2] = 0.25
    _mix(last.time_conv.weight, range(PICTURE + 1), range(13))
    for quarter in range(4):
        for colour in range(3):
            source = 3 * quarter + colour
            last.resample[1].weight[source, colour, quarter // 2, quarter % 2] = 1
            last.time_conv.weight[13 + quarter, source, 1] = -2 * LUMINANCE[colour]
            last.time_conv.weight[13 + quarter, source, 2] = 2 * LUMINANCE[colour]
    for name, conv in encoder.named_modules():
        # The constant stays out of the channels that are learnt; norms and biases see to those.
        if name.endswith(("conv_shortcut", "resample.1", "time_conv")) and hasattr(conv, "weight"):
            constant = CONSTANT_LATE if conv is last.time_conv else CONSTANT_EARLY
            conv.weight[_taken(name) :, constant] = 0
    # Around zero the activation halves; the norm scales by the root of the channels over the constant.
    encoder.conv_out.weight.zero_()
    gain = 0.5 * encoder.conv_out.in_channels ** 0.5 / LARGE
    for row, channel in enumerate([*range(12), *range(13, 17)]):
        encoder.conv_out.weight[row, channel, 2, 1, 1] = 1 / gain
    vae.quant_conv.weight.copy_(torch.eye(2 * z)[:, :, None, None, None])
    vae.quant_conv.bias[z:] = -6.0


def _taken(name: str) -> int:
    """How many channels of a layer of the encoder, the first ones, carry pictures and the constant."""
    last = 2 * len(CONFIG["dim_mult"]) - 3
    late = name.startswith(("mid_block", f"down_blocks.{last}.", f"down_blocks.{last + 1}."))
    return PICTURE + 1 if late else CONSTANT_EARLY + 1


def free(vae: AutoencoderKLWan) -> dict[str, torch.Tensor]:
    """Ones where a parameter of the encoder is free to learn, zeros where it is set by hand, by parameter.

    Channels that carry the pictures stay as they are: nothing flows into them but what `_set_encoder` lets in.
    """
    found = {}
    for name, module in vae.encoder.named_modules():
        for part, value in module.named_parameters(prefix=f"encoder.{name}", recurse=False):
            mask = torch.ones_like(value)
            if name == "norm_out":
                continue
            if name == "conv_out":
                mask[:] = 0
                mask[PICTURE : CONFIG["z_dim"]] = 1
            elif not name.endswith(("conv1", "norm", "norm1", "norm2", "to_qkv")):
                mask[: _taken(name)] = 0
            found[part] = mask
    return found


def _mix(weight: torch.Tensor, rows, channels) -> None:
    """Makes of `rows` a step over time that weighs the earlier and the later frame, of those of `channels` itself."""
    weight[list(rows)] = 0
    for channel in channels:
        weight[channel, channel, 1], weight[channel, channel, 2] = EARLIER, LATER


def _start_decoder(vae: AutoencoderKLWan) -> None:
    """Random weights with the carriers' way through them."""
    decoder = vae.decoder
    for module in decoder.modules():
        if isinstance(module, (torch.nn.Conv3d, torch.nn.Conv2d)):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            torch.nn.init.zeros_(module.bias)
            if module.weight.ndim == 5 and module.kernel_size == (3, 3, 3):
                module.weight[:, :, :2] *= 0.3
                module.weight[:, :, 2] *= 3**0.5
    for module in decoder.modules():
        kind = type(module).__name__
        if kind == "WanResidualBlock":
            module.conv2.weight.mul_(0.2)
            module.conv2.weight[:CARRIERS] *= 0.1
            if isinstance(module.conv_shortcut, torch.nn.Conv3d):
                _carry(module.conv_shortcut.weight)
        elif kind == "WanAttentionBlock":
            module.proj.weight.mul_(0.1)
            module.proj.weight[:CARRIERS] *= 0.1
        elif kind == "WanResample":
            _carry(module.resample[1].weight, (1, 1))
            if hasattr(module, "time_conv"):
                for half in module.time_conv.weight.split(module.dim):
                    _carry(half, (2, 0, 0))
    into, out = decoder.conv_in, decoder.conv_out
    into.weight[:CARRIERS] = 0
    into.weight[CARRIERS:] *= OTHERS
    into.bias[CARRIERS - 1] = CONSTANT
    # What the last norm makes of a carrier of a middling colour.
    gain = (out.in_channels / (2 * 3 * 0.25 + CONSTANT**2)) ** 0.5
    out.weight.mul_(0.01)
    for colour in range(3):
        for quarter in range(4):
            into.weight[colour, 3 * quarter + colour, 2, 1, 1] = 0.25
            into.weight[colour + 3, 3 * quarter + colour, 2, 1, 1] = -0.25
        out.weight[colour, colour, 2, 1, 1] += 1 / gain
        out.weight[colour, colour + 3, 2, 1, 1] -= 1 / gain
    vae.post_quant_conv.weight.copy_(torch.eye(CONFIG["z_dim"])[:, :, None, None, None])
    vae.post_quant_conv.bias.zero_()


def _carry(weight: torch.Tensor, taps=()) -> None:
    """Lets the carriers pass a convolution alone: nothing flows into them but one tap of the same channel."""
    weight[:CARRIERS] = 0
    weight[CARRIERS:] *= OTHERS
    for channel in range(CARRIERS):
        weight[(channel, channel, *taps)] = 1


def _causal(conv, x):
    """A causal convolution over whole clips: zeros stand before the first frame."""
    time, tall, wide = conv.kernel_size
    weight = conv.weight
    if x.shape[2] == 1:
        weight = weight[:, :, -1:]  # the taps before see zeros
    elif time > 1:
        x = F.pad(x, (0, 0, 0, 0, time - 1, 0))
    return F.conv3d(x, weight, conv.bias, conv.stride, (0, tall // 2, wide // 2))


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
    """Means and log variances [B, 20, 1+(T-1)/4, H/16, W/16] of clips [B, 3, T, H, W] in -1..1."""
    enc = vae.encoder
    x = _causal(enc.conv_in, clip.contiguous(memory_format=torch.channels_last_3d))
    for layer in enc.down_blocks:
        x = _down(layer, x) if hasattr(layer, "resample") else _block(layer, x)
    x = _middle(enc.mid_block, x)
    x = _causal(enc.conv_out, F.silu(_norm(enc.norm_out, x)))
    mean, log_variance = _causal(vae.quant_conv, x).float().chunk(2, 1)
    return mean, log_variance.clamp(-30, 20)


def decode(vae: AutoencoderKLWan, latent: torch.Tensor, levels: int | None = None) -> torch.Tensor:
    """Clips [B, 3, T, H, W] (not clamped) of latents that are not normalised; after `levels` instead, their features."""
    dec = vae.decoder
    x = _causal(vae.post_quant_conv, latent.contiguous(memory_format=torch.channels_last_3d))
    x = _middle(dec.mid_block, _causal(dec.conv_in, x))
    for number, level in enumerate(dec.up_blocks):
        for block in level.resnets:
            x = _block(block, x)
        if number + 1 == levels:
            return x
        if level.upsamplers is not None:
            x = _up(level.upsamplers[0], x)
    return _causal(dec.conv_out, F.silu(_norm(dec.norm_out, x))).float()
