"""The text encoder and the transformer: transformers' and diffusers' classes, with forward passes fit for training.

diffusers pads the encoded text with zero rows to 512, and all of them are keys of the cross-attention. Equal keys
weigh as one whose logit is raised by the logarithm of their number; so does the pass here.
"""

import math

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

from . import tokenizer

TEXT_ROWS, LONGEST = 512, 34
TEXT = {"d_model": 96, "d_kv": 24, "num_heads": 4, "d_ff": 192, "num_layers": 3, "dropout_rate": 0.0}
TRANSFORMER = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "in_channels": 20,
    "out_channels": 20,
    "text_dim": TEXT["d_model"],
    "freq_dim": 128,
    "ffn_dim": 448,
    "num_layers": 8,
    "rope_max_seq_len": 256,
}


class Generator(torch.nn.Module):
    """Text encoder and transformer, trained together."""

    def __init__(self, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        config = UMT5Config(vocab_size=tokenizer.build().get_vocab_size(), feed_forward_proj="gated-gelu", **TEXT)
        self.text = UMT5EncoderModel(config)
        self.dit = WanTransformer3DModel(**TRANSFORMER)
        self._start()
        grid = torch.zeros(1, 20, 5, 8, 8)
        cos, sin = self.dit.rope(grid)
        self.register_buffer("cos", cos[..., 0::2].float(), persistent=False)
        self.register_buffer("sin", sin[..., 1::2].float(), persistent=False)

    @torch.no_grad()
    def _start(self) -> None:
        """Starting values: output zero, gentle branches, and a cross-attention that sees past the padding.

        Some 500 equal keys of padding would take nearly all of the attention at first, and the text none. With no
        bias in the embedder the padding's key is the bias of `to_k` alone; queries start with its opposite.
        """
        dit = self.dit
        for module in dit.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight)
                torch.nn.init.zeros_(module.bias)
        dit.condition_embedder.time_proj.weight.mul_(0.2)
        dit.proj_out.weight.zero_()
        sign = torch.where(torch.rand(dit.proj_out.in_features) < 0.5, 1.0, -1.0)
        for block in dit.blocks:
            block.scale_shift_table.mul_(0.2)
            block.scale_shift_table[:, [2, 5]] += 0.3
            block.attn2.to_out[0].weight.mul_(0.5)
            block.attn2.to_q.bias.copy_(0.6 * sign)
            block.attn2.to_k.bias.copy_(-0.2 * sign)
            for norm in (block.attn2.norm_q, block.attn2.norm_k):
                norm.weight.fill_(1.5)

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Text rows [B, L+1, D] of padded ids [B, L], the last for all padding, and the bias of the keys' logits."""
        rows = self.text(input_ids=ids, attention_mask=mask).last_hidden_state
        rows = F.pad(rows * mask[..., None].to(rows.dtype), (0, 0, 0, 1))
        lengths = mask.sum(1, keepdim=True)
        bias = torch.full((len(ids), ids.shape[1] + 1), -1e4, device=ids.device)
        bias = bias.masked_fill(F.pad(mask, (0, 1)).bool(), 0.0)
        bias[:, -1:] = (TEXT_ROWS - lengths).float().log()
        return rows, bias[:, None, None]

    def _attend(self, attention, x, rows=None, bias=None):
        source = x if rows is None else rows
        q = attention.norm_q(attention.to_q(x)).unflatten(2, (attention.heads, -1))
        k = attention.norm_k(attention.to_k(source)).unflatten(2, (attention.heads, -1))
        v = attention.to_v(source).unflatten(2, (attention.heads, -1))
        if rows is None:
            q, k = self._turn(q), self._turn(k)
        q, k = q.to(v.dtype).transpose(1, 2), k.to(v.dtype).transpose(1, 2)
        v = v.transpose(1, 2)
        if v.is_cuda:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=None if bias is None else bias.to(v.dtype))
        else:
            # Backwards, the CPU's fused attention is several times slower than the products one by one.
            scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
            out = (scores if bias is None else scores + bias).softmax(-1).to(v.dtype) @ v
        return attention.to_out[0](out.transpose(1, 2).flatten(2))

    def _turn(self, x):
        """Rotary position embedding of [B, tokens, heads, dims]."""
        a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((a * self.cos - b * self.sin, a * self.sin + b * self.cos), -1).flatten(-2)

    def velocity(self, latents, times, rows, bias):
        """The velocity [B, 20, 5, 8, 8] of latents at times (1000 sigma), given text rows and their bias."""
        dit = self.dit
        b, c, t, h, w = latents.shape
        d = dit.proj_out.in_features
        # Patches of 1x2x2 as rows: the convolution is a product with its weights laid flat.
        x = latents.view(b, c, t, h // 2, 2, w // 2, 2).permute(0, 2, 3, 5, 1, 4, 6).reshape(b, -1, c * 4)
        x = F.linear(x, dit.patch_embedding.weight.flatten(1), dit.patch_embedding.bias).float()
        embed = dit.condition_embedder
        half = dit.config.freq_dim // 2
        scale = torch.exp(-math.log(10000) * torch.arange(half, device=x.device) / half)
        angle = times.float()[:, None] * scale
        time = embed.time_embedder(torch.cat([angle.cos(), angle.sin()], -1)).float()
        change = embed.time_proj(F.silu(time)).float().unflatten(1, (6, -1))
        rows = embed.text_embedder(rows)
        for block in dit.blocks:
            m = (block.scale_shift_table + change).chunk(6, 1)
            y = F.layer_norm(x, (d,), eps=dit.config.eps) * (1 + m[1]) + m[0]
            x = x + self._attend(block.attn1, y) * m[2]
            y = F.layer_norm(x, (d,), block.norm2.weight, block.norm2.bias, dit.config.eps)
            x = x + self._attend(block.attn2, y, rows, bias)
            y = F.layer_norm(x, (d,), eps=dit.config.eps) * (1 + m[4]) + m[3]
            x = x + block.ffn(y) * m[5]
        shift, scale = (dit.scale_shift_table + time[:, None]).chunk(2, 1)
        out = dit.proj_out(F.layer_norm(x, (d,), eps=dit.config.eps) * (1 + scale) + shift).float()
        # diffusers' rows hold the patch first and the channels last.
        return out.view(b, t, h // 2, w // 2, 2, 2, c).permute(0, 6, 1, 2, 4, 3, 5).reshape(b, c, t, h, w)


def tokenize(texts: list[str], tokens=None, trim: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded ids and their mask, [B, length of the longest], or [B, LONGEST] untrimmed; texts beyond that are cut."""
    tokens = tokens or tokenizer.build()
    ids = torch.zeros(len(texts), LONGEST, dtype=torch.long)
    mask = torch.zeros(len(texts), LONGEST, dtype=torch.long)
    for row, found in enumerate(tokens.encode_batch(texts)):
        kept = found.ids if len(found.ids) <= LONGEST else [*found.ids[: LONGEST - 1], 1]
        ids[row, : len(kept)] = torch.tensor(kept)
        mask[row, : len(kept)] = 1
    longest = int(mask.sum(1).max()) if trim else LONGEST
    return ids[:, :longest], mask[:, :longest]
