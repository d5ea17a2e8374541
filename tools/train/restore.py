"""Makes a state from an exported folder, so that training goes on from a published checkpoint where its state is gone.

    python -m train.restore --folder FOLDER --out STATE

Writes STATE/vae.small.pt and STATE/text_dit.small.pt: the weights, the scale of the latents, no memory of the
optimizer. Refuses to touch a folder that has them. A folder of before the marks, with 16 channels, is widened: the
new channels start as those of an untrained model, unread by the decoder.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file

from . import autoencoder, generator, state

# How far marks lie from their mean in the world's clips.
MARKS_DEVIATION = 0.162


def named(model: torch.nn.Module, files: dict[str, pathlib.Path]) -> dict[str, torch.Tensor]:
    """The values of `model`'s parameters, read from one file for each prefix."""
    found = {prefix + name: value for prefix, file in files.items() for name, value in load_file(file).items()}
    return {name: widened(name, found[name], p.detach()) for name, p in model.named_parameters()}


def widened(name: str, value: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """A value in the shape of its parameter, taken from `start` where a folder with fewer channels has none."""
    if value.numel() == start.numel():
        return value.reshape(start.shape)
    if name.startswith(("encoder.", "quant_conv.")):
        return start
    value, found = value.float(), start.clone()
    if name.startswith("dit.proj_out."):
        # Rows of a patch's four positions, each with all channels.
        rows, old = found.view(4, autoencoder.CONFIG["z_dim"], -1), value.view(4, autoencoder.PICTURE, -1)
        rows.zero_()[:, : autoencoder.PICTURE] = old
        return found
    if name == "decoder.conv_in.weight":
        found.zero_()
    found[tuple(slice(n) for n in value.shape)] = value
    return found


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
    if config["z_dim"] < autoencoder.CONFIG["z_dim"]:  # its encoder is all set by hand, and otherwise now
        vae.update({k: p.detach() for k, p in autoencoder.build().named_parameters() if k.startswith("encoder.")})
    state.save(options.out / "vae.small.pt", {"average": vae, "step": 0})
    both = named(
        generator.Generator(),
        {"text.": options.folder / "text_encoder" / "model.safetensors", "dit.": options.folder / "transformer" / weights},
    )
    scale = {"mean": torch.tensor(config["latents_mean"]), "deviation": torch.tensor(config["latents_std"])}
    if len(scale["mean"]) < autoencoder.CONFIG["z_dim"]:
        more = autoencoder.CONFIG["z_dim"] - len(scale["mean"])
        scale["mean"] = torch.cat([scale["mean"], torch.zeros(more)])
        scale["deviation"] = torch.cat([scale["deviation"], torch.full((more,), MARKS_DEVIATION)])
    state.save(options.out / "text_dit.small.pt", {"average": both, "step": 0, **scale})


if __name__ == "__main__":
    main()
