"""Stage 4: writes the trained parts as one folder in diffusers' layout, in f16, at most 8 MB.

    python -m train.export --out STATE --folder FOLDER [--report FILE] [--random]

`--report` takes up into the model card what `evaluate` printed; `--random` takes untrained weights instead, to try the
layout.
"""

import argparse
import json
import pathlib

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5EncoderModel

from . import autoencoder, card, generator, latents, sample, scenes, state, tokenizer

LIMIT = 8_000_000
INDEX = {
    "_class_name": "WanPipeline",
    "_diffusers_version": "0.42.1",
    "boundary_ratio": None,
    "expand_timesteps": False,
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "transformer_2": [None, None],
    "vae": ["diffusers", "AutoencoderKLWan"],
}


def defaults() -> dict:
    """zoetrope.json: what a run takes where the request is silent, and the words that training has seen."""
    return {
        "size": "128x128",
        "frames": scenes.FRAMES,
        "fps": scenes.FPS,
        "steps": sample.STEPS,
        "guidance": sample.GUIDANCE,
        "negative_prompt": "",
        "zoom": 3,
        "known_words": tokenizer.known_words(),
    }


def _half(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for name, value in state_dict.items():
        if not torch.isfinite(value.half()).all():
            raise SystemExit(f"{name} does not fit f16")
    return {name: value.half() for name, value in state_dict.items()}


def assemble(out: pathlib.Path, random: bool) -> tuple[AutoencoderKLWan, generator.Generator]:
    """The autoencoder, its latents' scale in its config, and the averaged text encoder and transformer."""
    model = generator.Generator()
    if random:
        vae = autoencoder.build()
        for block in model.dit.blocks:
            torch.nn.init.normal_(block.scale_shift_table, std=0.2)
        torch.nn.init.normal_(model.dit.proj_out.weight, std=0.1)
        return vae, model
    saved = state.load(out / "text_dit.pt") or state.load(out / "text_dit.small.pt")
    vae = latents.trained(out, "cpu")
    if saved is None:
        raise SystemExit(f"{out} has no text_dit.pt: run `python -m train.text_dit --out {out}`")
    state.fill(model, saved["average"])
    vae.register_to_config(
        latents_mean=[round(float(v), 6) for v in saved["mean"]],
        latents_std=[round(float(v), 6) for v in saved["deviation"]],
    )
    return vae, model


def write(folder: pathlib.Path, vae, model, report: str = "") -> None:
    """Writes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part, kind in (
        ("vae", vae, AutoencoderKLWan),
        ("transformer", model.dit, WanTransformer3DModel),
        ("text_encoder", model.text, UMT5EncoderModel),
    ):
        shell = kind(part.config) if kind is UMT5EncoderModel else kind.from_config(part.config)
        shell.load_state_dict(part.state_dict())
        # Every tensor in f16, those too that diffusers would keep wider when it casts a whole model.
        for tensor in [*shell.parameters(), *shell.buffers()]:
            tensor.data = tensor.data.half() if tensor.is_floating_point() else tensor.data
        _half(shell.state_dict())
        shell.save_pretrained(folder / name)
    sample.scheduler().save_pretrained(folder / "scheduler")
    tokenizer.write(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n")
    (folder / "zoetrope.json").write_text(json.dumps(defaults(), indent=1) + "\n")
    (folder / "README.md").write_text(card.text(report))


def size(folder: pathlib.Path) -> int:
    """Bytes of all files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Exports, and fails above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path())
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--report", type=pathlib.Path, help="output of `evaluate` for the model card")
    parser.add_argument("--random", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    report = options.report.read_text() if options.report else ""
    write(options.folder, *assemble(options.out, options.random), report)
    total = size(options.folder)
    print(f"{options.folder}: {total / 1e6:.3f} MB")
    if total > LIMIT:
        raise SystemExit(f"above the limit of {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
