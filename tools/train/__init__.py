"""Trains the small checkpoint of moving shapes: world, tokenizer, autoencoder, text encoder and transformer."""
