"""What the reference scripts share: opening a checkpoint folder with diffusers, running its stages one by one, errors."""

import contextlib
import logging
import os
import warnings

import together  # noqa: F401  (before transformers)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
warnings.filterwarnings("ignore")

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from diffusers import WanPipeline  # noqa: E402

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

TEXT_LENGTH = 512


def open_pipeline(folder):
    """The folder's WanPipeline with every weight widened to f32."""
    if diffusers.__version__ != "0.42.1":
        raise SystemExit(f"diffusers 0.42.1 is the reference, this is {diffusers.__version__}")
    pipe = WanPipeline.from_pretrained(str(folder), torch_dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    # A folder without the VAE's encoder leaves it without storage, and the pipeline asks it for its device.
    for part in (pipe.vae.encoder, pipe.vae.quant_conv):
        if any(p.is_meta for p in part.parameters()):
            part.to_empty(device="cpu")
    return pipe


def token_ids(pipe, prompt):
    """The ids of one prompt as the pipeline has them before padding, [L] int64."""
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    text = pipe.tokenizer(prompt_clean(prompt), max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    return text.input_ids[0]


def encode(pipe, prompt):
    """The pipeline's text rows, [512, D]; those past the prompt's length are zeros."""
    return pipe._get_t5_prompt_embeds(prompt, max_sequence_length=TEXT_LENGTH)[0]


def velocity(pipe, latent, timestep, text):
    """One forward of the transformer: latent [C, T, H, W], timestep [1], text [512, D] -> [C, T, H, W]."""
    return pipe.transformer(latent[None], timestep, text[None], return_dict=False)[0][0]


def decode(pipe, latent):
    """Frames of a normalised latent [C, T, H, W]: [T, H, W, 3] in -1..1, with the pipeline's own denormalisation."""
    config = pipe.vae.config
    mean = torch.tensor(config.latents_mean).view(1, config.z_dim, 1, 1, 1).to(latent.dtype)
    inverse = 1.0 / torch.tensor(config.latents_std).view(1, config.z_dim, 1, 1, 1).to(latent.dtype)
    video = pipe.vae.decode(latent[None] / inverse + mean, return_dict=False)[0]
    return video[0].permute(1, 2, 3, 0).contiguous()


def generate(pipe, run, start=None):
    """A whole run of the pipeline: (final normalised latents [C, T, H, W], frames u8 [T, H, W, 3]).

    `start` [C, T, H, W] replaces the seed's noise.
    """
    last = {}

    def keep(_pipe, _step, _t, tensors):
        last["latents"] = tensors["latents"]
        return {}

    frames = pipe(
        prompt=run["prompt"],
        negative_prompt=run["negative"],
        height=run["height"],
        width=run["width"],
        num_frames=run["frames"],
        num_inference_steps=run["steps"],
        guidance_scale=run["guidance"],
        generator=torch.Generator("cpu").manual_seed(run["seed"]),
        latents=None if start is None else start[None],
        max_sequence_length=TEXT_LENGTH,
        output_type="np",
        callback_on_step_end=keep,
    ).frames[0]
    return last["latents"][0].contiguous(), np.rint(frames * 255.0).astype(np.uint8)


def noise_shape(pipe, run):
    """[C, T, H, W] of the latent of a run."""
    config = pipe.vae.config
    return (
        pipe.transformer.config.in_channels,
        (run["frames"] - 1) // config.scale_factor_temporal + 1,
        run["height"] // config.scale_factor_spatial,
        run["width"] // config.scale_factor_spatial,
    )


def noise(pipe, run):
    """The start noise of a run, [C, T, H, W]."""
    shape = (1, *noise_shape(pipe, run))
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(run["seed"]), dtype=torch.float32)[0]


def relative(actual, expected):
    """Relative L2 error |actual - expected| / |expected|, computed in f64."""
    a = np.asarray(actual, dtype=np.float64)
    e = np.asarray(expected, dtype=np.float64)
    if a.shape != e.shape:
        raise SystemExit(f"shapes differ: {a.shape} against {e.shape}")
    return float(np.linalg.norm(a - e) / max(np.linalg.norm(e), 1e-300))


@contextlib.contextmanager
def in_f64():
    """Runs the reference's own code in f64, its f32 islands included.

    What is f32 by definition stays so: the time sinusoid, the buckets of the relative bias, the scheduler's sigmas.
    """
    from diffusers.models import embeddings
    from transformers.models.umt5.modeling_umt5 import UMT5Attention

    float32, to_float, default = torch.float32, torch.Tensor.float, torch.get_default_dtype()
    sinusoid, bucket = embeddings.get_timestep_embedding, UMT5Attention._relative_position_bucket

    def widen():
        torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double

    def narrow():
        torch.float32, torch.Tensor.float = float32, to_float

    def kept_in_f32(function):
        def call(*args, **kwargs):
            narrow()
            try:
                return function(*args, **kwargs)
            finally:
                widen()

        return call

    try:
        widen()
        torch.set_default_dtype(torch.float64)
        embeddings.get_timestep_embedding = kept_in_f32(sinusoid)
        UMT5Attention._relative_position_bucket = kept_in_f32(bucket)
        yield
    finally:
        narrow()
        torch.set_default_dtype(default)
        embeddings.get_timestep_embedding = sinusoid
        UMT5Attention._relative_position_bucket = bucket


def to_f64(pipe):
    """Widens an opened pipeline to f64 in place and rebuilds the rope tables without rounding; use inside in_f64."""
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

    for part in (pipe.text_encoder, pipe.transformer, pipe.vae):
        part.double()
    set_timesteps = pipe.scheduler.set_timesteps

    def set_timesteps_f64(*args, **kwargs):
        set_timesteps(*args, **kwargs)
        pipe.scheduler.sigmas = pipe.scheduler.sigmas.double()

    pipe.scheduler.set_timesteps = set_timesteps_f64
    config = pipe.transformer.config
    pipe.transformer.rope = WanRotaryPosEmbed(config.attention_head_dim, config.patch_size, config.rope_max_seq_len)
    return pipe
