"""Trains the small checkpoint of moving shapes: world, tokenizer, autoencoder, text encoder and transformer."""

# Before transformers and diffusers: it accepts the huggingface_hub that diffusers wants.
import reference.together  # noqa: F401
