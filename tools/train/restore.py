"""Makes a state from an exported folder, so that training goes on from a published checkpoint where its state is gone.

    python -m train.restore --folder FOLDER --out STATE

Writes STATE/vae.small.pt and STATE/text_dit.small.pt: the weights, the scale of the latents, no memory of the
optimizer. Refuses to touch a folder that has them.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file

from . import autoencoder, generator, state


def named(model: torch.nn.Module, files: dict[str, pathlib.Path]) -> dict[str, torch.Tensor]:
    """The values of `model`'s parameters, read from one file for each prefix."""
    found = {prefix + name: value for prefix, file in files.items() for name, value in load_file(file).items()}
    return {name: found[name].reshape(p.shape) for name, p in model.named_parameters()}


def main() -> None:
    """Writes both states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    for name in ("vae", "text_dit"):
        for path in (options.out / f"{name}.pt", options.out / f"{name}.small.pt"):
            if path.exists():
                raise SystemExit(f"{path} exists already")
    weights = "diffusion_pytorch_model.safetensors"
    vae = named(autoencoder.build(), {"": options.folder / "vae" / weights})
    config = json.loads((options.folder / "vae" / "config.json").read_text())
    state.save(options.out / "vae.small.pt", {"average": vae, "step": 0})
    both = named(
        generator.Generator(),
        {"text.": options.folder / "text_encoder" / "model.safetensors", "dit.": options.folder / "transformer" / weights},
    )
    scale = {"mean": torch.tensor(config["latents_mean"]), "deviation": torch.tensor(config["latents_std"])}
    state.save(options.out / "text_dit.small.pt", {"average": both, "step": 0, **scale})


if __name__ == "__main__":
    main()
