"""Writes tests/fixtures: tiny random checkpoints in the diffusers layout, and what diffusers computes from them in f32.

    python make_fixtures.py [NAME...] [--f64]

--f64 also runs every stage in f64 and prints how far the f32 reference is from it. Everything is seeded by name, so
one fixture can be made again without touching the others.
"""

import argparse
import json
import math
import pathlib
import shutil
import tempfile
import zlib

import together  # noqa: F401

import small_tokenizer
import torch
import wan
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import UMT5Config, UMT5EncoderModel

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}

WAN_MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508]
WAN_MEAN += [0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
WAN_STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743]
WAN_STD += [3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]


def text(d_model, heads, d_kv, d_ff, layers=2, **more):
    return dict(d_model=d_model, num_heads=heads, d_kv=d_kv, d_ff=d_ff, num_layers=layers, **more)


def dit(heads, head_dim, channels, ffn, layers=2, patch=(1, 2, 2), freq=64, **more):
    more.setdefault("out_channels", channels)
    return dict(
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=channels,
        ffn_dim=ffn,
        num_layers=layers,
        patch_size=list(patch),
        freq_dim=freq,
        **more,
    )


def vae(base, mult, temporal, channels, blocks=1):
    mean, std = WAN_MEAN[:channels], WAN_STD[:channels]
    time, space = 2 ** sum(temporal), 2 ** len(temporal)
    return dict(
        base_dim=base,
        z_dim=channels,
        dim_mult=mult,
        num_res_blocks=blocks,
        temperal_downsample=temporal,
        latents_mean=mean,
        latents_std=std,
        scale_factor_temporal=time,
        scale_factor_spatial=space,
    )


def run(width, height, frames, steps, guidance, seed, sampler="unipc"):
    return dict(
        width=width, height=height, frames=frames, steps=steps, guidance=guidance, seed=seed, sampler=sampler
    )


LONG = "A red fox walks through deep snow at dawn, 雪地里的狐狸, und das Licht ist warm. "

# Per fixture: the shapes, how the files lie on disk, the golden inputs and the runs. Together they cover odd head
# counts, head_dim 10 to 128, two to four VAE levels, other patch sizes, one frame and every storage type.
FIXTURES = {
    "a": dict(
        dtype="f32",
        tokenizer="current",
        text=text(40, 5, 8, 56),
        dit=dit(3, 24, 8, 76),
        vae=vae(4, [1, 2, 2], [False, True], 8),
        shift=3.0,
        shards=("transformer", 3),
        encoder=False,
        prompt="Ein roter Fuchs läuft über tiefen Schnee — 雪地里的狐狸 🦊, golden light.",
        negative="",
        latent=(3, 6, 10),
        timestep=714,
        vae_latent=(3, 3, 5),
        runs={
            "unipc7": run(48, 32, 5, 7, 5.0, 7),
            "nocfg": run(32, 16, 9, 3, 1.0, 11),
        },
    ),
    "b": dict(
        dtype="bf16",
        tokenizer="older",
        text=text(32, 3, 16, 48, both_names=True, relative_attention_num_buckets=16, relative_attention_max_distance=40),
        dit=dit(2, 44, 16, 92, freq=256),
        vae=vae(6, [1, 2, 2, 2], [False, True, True], 16, blocks=2),
        shift=5.0,
        shards=("text_encoder", 2),
        encoder=False,
        prompt="两只小船停在湖上，镜头慢慢移动。 Two boats &amp;amp; mist, “calm” ＷＡＴＥＲ",
        negative="低质量，模糊，静态，字幕 worst quality",
        latent=(2, 6, 10),
        timestep=937,
        vae_latent=(3, 2, 3),
        runs={
            "unipc4": run(80, 48, 5, 4, 5.0, 42),
            "one_frame": run(48, 32, 1, 3, 5.0, 1),
        },
    ),
    "c": dict(
        dtype="f16",
        tokenizer="current",
        text=text(48, 6, 8, 64),
        dit=dit(1, 128, 4, 96, layers=1),
        vae=vae(6, [1, 2], [True], 4),
        scheduler="FlowMatchEulerDiscreteScheduler",
        shift=5.0,
        encoder=False,
        prompt="Un café à côté de la fenêtre où l'été brûle; rÃ©sumÃ© ☕ très doux",
        negative="blurred, static, overexposed",
        latent=(2, 6, 10),
        timestep=833.3333,
        vae_latent=(4, 5, 7),
        runs={"euler5": run(48, 32, 3, 5, 5.0, 123456789012345, "euler")},
    ),
    "d": dict(
        dtype="bf16",
        islands=True,
        tokenizer="older",
        text=text(36, 4, 12, 52, alias_only=True, vocab_size=520),
        dit=dit(5, 16, 12, 112, layers=2, patch=(1, 1, 2), cross_attn_norm=False, out_channels=None),
        vae=vae(4, [1, 2, 2, 3], [False, True, True], 12),
        published=True,
        shift=3.0,
        encoder=True,
        prompt="ثعلب أحمر يمشي على الثلج عند الفجر, a lantern floats ｕｐ",
        negative="gray, \u201cextra fingers\u201d\u00a0…",
        latent=(3, 5, 6),
        timestep=1,
        vae_latent=(3, 3, 2),
        runs={"unipc3": run(48, 32, 9, 3, 6.0, 0)},
    ),
    "e": dict(
        dtype="f32",
        tokenizer="older",
        text=text(33, 3, 10, 47, layers=3),
        dit=dit(3, 10, 7, 51, layers=3, freq=18),
        vae=vae(5, [1, 2, 3], [True, False], 7),
        shift=1.0,
        encoder=False,
        prompt="Рыжая лиса идёт по снегу на рассвете 👩‍🚀",
        negative="серый",
        latent=(1, 6, 14),
        timestep=500,
        vae_latent=(1, 5, 3),
        runs={"one_frame": run(48, 32, 1, 5, 3.0, 2026)},
    ),
    "f": dict(
        dtype="f16",
        tokenizer="current",
        text=text(24, 3, 8, 40),
        dit=dit(3, 12, 3, 60, patch=(2, 2, 1), freq=32),
        vae=vae(4, [1, 2], [True], 3),
        shift=8.0,
        encoder=True,
        prompt=LONG * 40,
        negative="low quality, " * 12,
        latent=(4, 6, 5),
        timestep=42,
        vae_latent=(2, 4, 3),
        runs={"nocfg": run(32, 16, 7, 3, 1.0, 5), "unipc2": run(16, 16, 3, 2, 4.0, 6)},
    ),
}


def normal(fixture, name, shape):
    """Normal values that depend on the fixture's and the tensor's name alone."""
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(f"{fixture}/{name}".encode()))
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def weight(fixture, name, shape, d_kv=1):
    """A value for one parameter: activations stay O(1), attention is far from uniform, gates and biases matter."""
    z = normal(fixture, name, shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "gamma" or (leaf == "weight" and ("norm" in name)):
        gain = 1.0 + 0.2 * z
        return gain * 1.3 if "norm_q" in name or "norm_k" in name else gain
    if leaf == "scale_shift_table":
        return 0.4 * z
    if leaf == "bias":
        return 0.1 * z
    if "relative_attention_bias" in name or "shared" in name or "embed_tokens" in name:
        return z
    fan_in = math.prod(shape[1:])
    scale = fan_in**-0.5
    if name.endswith("SelfAttention.q.weight"):
        scale *= 1.5 * d_kv**-0.5
    if "to_qkv" in name:
        scale *= 1.3
    return z * scale


def fill(fixture, model, d_kv=1):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weight(fixture, name, tuple(parameter.shape), d_kv))
    return model.eval()


def stored(state, dtype, islands=False):
    """The state as it goes to disk; `islands` keeps in f32 what diffusers itself keeps so."""
    keep = ("scale_shift_table", "norm1.", "norm2.", "norm3.", "time_embedder")
    return {
        name: tensor.detach().to(torch.float32 if islands and any(k in name for k in keep) else dtype).contiguous()
        for name, tensor in state.items()
    }


def save(folder, stem, state, shards=1):
    """One safetensors file, or several with an index, tensors in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(state)
    if shards == 1:
        save_file({n: state[n] for n in names}, folder / f"{stem}.safetensors", metadata={"format": "pt"})
        return
    size = {n: state[n].numel() * state[n].element_size() for n in names}
    total, seen, parts = sum(size.values()), 0, [[] for _ in range(shards)]
    for n in names:
        parts[min(shards - 1, seen * shards // total)].append(n)
        seen += size[n]
    index = {"metadata": {"total_size": total}, "weight_map": {}}
    for i, part in enumerate(parts):
        file = f"{stem}-{i + 1:05}-of-{shards:05}.safetensors"
        save_file({n: state[n] for n in part}, folder / file, metadata={"format": "pt"})
        index["weight_map"].update({n: file for n in part})
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def calibrate(fixture, model, spec):
    """Scales the decoder's last convolution so that the golden latent decodes to a deviation of 0.35, mostly unclamped."""
    last = model.decoder.conv_out
    with torch.no_grad():
        last.weight.mul_(0.05)
        last.bias.mul_(0.05)
        z = latent(fixture, "vae.latent", spec)
        std = torch.tensor(spec["vae"]["latents_std"]).view(-1, 1, 1, 1)
        mean = torch.tensor(spec["vae"]["latents_mean"]).view(-1, 1, 1, 1)
        out = model.decode((z * std + mean)[None], return_dict=False)[0]
        scale = 0.35 / out.std()
        last.weight.mul_(scale)
        last.bias.mul_(scale)


def latent(fixture, name, spec):
    size = spec["vae_latent"] if name == "vae.latent" else spec["latent"]
    return normal(fixture, name, (spec["vae"]["z_dim"], *size))


def write_checkpoint(fixture, spec):
    folder = ROOT / "checkpoints" / fixture
    shutil.rmtree(folder, ignore_errors=True)
    dtype = DTYPES[spec["dtype"]]
    sharded, shards = spec.get("shards", ("", 1))

    with tempfile.TemporaryDirectory() as scratch:
        size = small_tokenizer.write(folder / "tokenizer", scratch, spec["tokenizer"])

    shape = dict(spec["text"])
    alias_only, both = shape.pop("alias_only", False), shape.pop("both_names", False)
    shape.setdefault("vocab_size", size)
    config = UMT5Config(feed_forward_proj="gated-gelu", dropout_rate=0.1, **shape)
    config.architectures = ["UMT5EncoderModel"]
    model = fill(fixture, UMT5EncoderModel(config), shape["d_kv"])
    state = dict(model.state_dict())
    state.pop("encoder.embed_tokens.weight", None)
    if alias_only or both:
        state["encoder.embed_tokens.weight"] = state["shared.weight"].clone()
    if alias_only:
        del state["shared.weight"]
    state = stored(state, dtype)
    save(folder / "text_encoder", "model", state, shards if sharded == "text_encoder" else 1)
    raw = {k: v for k, v in config.to_dict().items() if k not in ("dtype",)}
    raw["torch_dtype"] = str(dtype).removeprefix("torch.")
    write_json(folder / "text_encoder" / "config.json", raw)

    model = fill(fixture, WanTransformer3DModel(text_dim=shape["d_model"], **spec["dit"]))
    state = stored(model.state_dict(), dtype, spec.get("islands", False))
    save(folder / "transformer", "diffusion_pytorch_model", state, shards if sharded == "transformer" else 1)
    model.save_config(folder / "transformer")

    model = fill(fixture, AutoencoderKLWan(**spec["vae"]))
    calibrate(fixture, model, spec)
    state = stored(model.state_dict(), dtype)
    if not spec["encoder"]:
        state = {n: t for n, t in state.items() if not n.startswith(("encoder.", "quant_conv."))}
    save(folder / "vae", "diffusion_pytorch_model", state)
    model.save_config(folder / "vae")
    if spec.get("published"):
        # As the published folders have it: the keys that later versions of diffusers brought are not there.
        path = folder / "vae" / "config.json"
        later = ("scale_factor_temporal", "scale_factor_spatial", "is_residual", "patch_size", "in_channels")
        later += ("out_channels", "decoder_base_dim")
        raw = {k: v for k, v in json.loads(path.read_text()).items() if k not in later}
        write_json(path, raw | {"_diffusers_version": "0.33.0.dev0"})

    name = spec.get("scheduler", "UniPCMultistepScheduler")
    if name == "UniPCMultistepScheduler":
        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=spec["shift"]
        )
    else:
        scheduler = FlowMatchEulerDiscreteScheduler(shift=spec["shift"])
    scheduler.save_config(folder / "scheduler")
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "WanPipeline",
            "_diffusers_version": "0.33.0.dev0" if spec.get("published") else "0.42.1",
            "scheduler": ["diffusers", name],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "WanTransformer3DModel"],
            "vae": ["diffusers", "AutoencoderKLWan"],
        }
        | ({} if spec.get("published") else {"boundary_ratio": None, "expand_timesteps": False})
        | ({} if spec.get("published") else {"transformer_2": [None, None]}),
    )
    return folder


def check_weights(pipe, folder):
    """The opened pipeline holds the very values of the files: a renamed or untied tensor would pass unseen otherwise."""
    for part, stem in (("text_encoder", "model"), ("transformer", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")):
        held = dict(getattr(pipe, part).state_dict())
        for file in sorted((folder / part).glob(f"{stem}*.safetensors")):
            for name, tensor in load_file(file).items():
                if not torch.equal(held[name], tensor.float()):
                    raise SystemExit(f"{folder.name}/{part}: {name} is not what diffusers uses")
    if not torch.equal(pipe.text_encoder.shared.weight, pipe.text_encoder.encoder.embed_tokens.weight):
        raise SystemExit(f"{folder.name}: the two names of the embedding differ")


def runs_of(spec):
    common = dict(prompt=spec["prompt"], negative=spec["negative"], schedule="diffusers", shift=spec["shift"])
    return {name: common | values for name, values in spec["runs"].items()}


@torch.no_grad()
def golden(fixture, spec, folder):
    """Every golden tensor of one checkpoint, in f32."""
    pipe = wan.open_pipeline(folder)
    check_weights(pipe, folder)
    out = {}
    rows = {}
    for branch, prompt in (("cond", spec["prompt"]), ("uncond", spec["negative"])):
        ids = wan.token_ids(pipe, prompt)
        rows[branch] = wan.encode(pipe, prompt)
        if rows[branch][len(ids) :].abs().sum() != 0:
            raise SystemExit(f"{fixture}: rows past the text are not zero")
        out[f"ids.{branch}"] = ids
        out[f"text.{branch}"] = rows[branch][: len(ids)]
    out["dit.latent"] = latent(fixture, "dit.latent", spec)
    out["dit.timestep"] = torch.tensor([spec["timestep"]], dtype=torch.float32)
    for branch, text_rows in rows.items():
        out[f"dit.{branch}"] = wan.velocity(pipe, out["dit.latent"], out["dit.timestep"], text_rows)
    out["vae.latent"] = latent(fixture, "vae.latent", spec)
    out["vae.video"] = wan.decode(pipe, out["vae.latent"])
    runs = runs_of(spec)
    for i, (name, values) in enumerate(runs.items()):
        out["noise" if i == 0 else f"noise.{name}"] = wan.noise(pipe, values)
        latents, frames = wan.generate(pipe, values)
        out[f"latents.{name}"], out[f"frames.{name}"] = latents, torch.from_numpy(frames)
    out = {name: tensor.contiguous() for name, tensor in out.items()}
    for name, tensor in out.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise SystemExit(f"{fixture}: {name} is not finite")
    # One key only: the writer does not keep the order of several, and the files shall come out the same each time.
    notes = {"runs": json.dumps(runs, ensure_ascii=False, sort_keys=True)}
    path = ROOT / "golden" / f"{fixture}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(out, path, metadata=notes)
    return out


@torch.no_grad()
def against_f64(folder, spec, out):
    """Relative L2 distance of each golden tensor from the same computation in f64."""
    pipe = wan.open_pipeline(folder)
    errors = {}
    with wan.in_f64():
        wan.to_f64(pipe)
        rows = {}
        for branch, prompt in (("cond", spec["prompt"]), ("uncond", spec["negative"])):
            rows[branch] = wan.encode(pipe, prompt)
            want = out[f"text.{branch}"]
            errors[f"text.{branch}"] = wan.relative(want, rows[branch][: len(want)])
        for branch in rows:
            v = wan.velocity(pipe, out["dit.latent"].double(), out["dit.timestep"], rows[branch])
            errors[f"dit.{branch}"] = wan.relative(out[f"dit.{branch}"], v)
        errors["vae.video"] = wan.relative(out["vae.video"], wan.decode(pipe, out["vae.latent"].double()))
        for i, (name, values) in enumerate(runs_of(spec).items()):
            start = out["noise" if i == 0 else f"noise.{name}"]
            latents, frames = wan.generate(pipe, values, start.double())
            errors[f"latents.{name}"] = wan.relative(out[f"latents.{name}"], latents)
            off = (torch.from_numpy(frames).int() - out[f"frames.{name}"].int()).abs()
            errors[f"frames.{name} beyond 1/255"] = float((off > 1).float().mean())
    return errors


def describe(out):
    for name, tensor in out.items():
        x = tensor.double()
        print(f"  {name:18} {str(list(tensor.shape)):20} {tensor.dtype!s:14} mean {x.mean():9.4f} std {x.std():8.4f}")
    c, u = out["dit.cond"], out["dit.uncond"]
    print(f"  guidance matters: |cond - uncond| / |cond| = {(c - u).norm() / c.norm():.3f}")
    print(f"  clamped share of vae.video: {(out['vae.video'].abs() >= 1).float().mean():.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(FIXTURES))
    parser.add_argument("--f64", action="store_true")
    options = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    for fixture in options.names:
        spec = FIXTURES[fixture]
        folder = write_checkpoint(fixture, spec)
        out = golden(fixture, spec, folder)
        files = [p for p in folder.rglob("*") if p.is_file()]
        size = sum(p.stat().st_size for p in files)
        print(f"{fixture}: checkpoint {size} bytes, golden {(ROOT / 'golden' / f'{fixture}.safetensors').stat().st_size}")
        describe(out)
        if options.f64:
            for name, error in against_f64(folder, spec, out).items():
                print(f"  f32 against f64: {name:32} {error:.2e}")


if __name__ == "__main__":
    main()
