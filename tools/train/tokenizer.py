"""The tokenizer: every word of the captions is one piece, other words fall into letters; written as tokenizer.json.

A unigram model with scores of our own: a known word costs its rarity, a letter so much that no known word is ever
spelt. Letters are lowered first. Nothing is trained, so the vocabulary follows from the words alone.
"""

import json
import pathlib
import string

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from . import words

SPECIAL = ("<pad>", "</s>", "<unk>")
GRAMMAR = """a an the and on over against in of to front before behind passing passes background backdrop plain gradient
video clip animation shape object thing"""
LETTER, WORD = -20.0, -8.0


def known_words() -> list[str]:
    """All words that captions are made of, sorted, in lower case."""
    texts = [GRAMMAR]
    for table in (words.COLOUR_WORDS, words.BACKGROUND_WORDS, words.SHAPE_WORDS, words.SIZE_WORDS, words.SPEED_WORDS):
        texts += [text for options in table.values() for text in options]
    texts += [text for forms in words.MOTION_WORDS.values() for form in forms for text in form]
    return sorted({word for text in texts for word in text.lower().replace("-", " ").split()})


def build() -> Tokenizer:
    """The tokenizer, in memory."""
    pieces = [(token, 0.0) for token in SPECIAL]
    pieces += [("▁" + word, WORD) for word in known_words()]
    pieces += [(letter, LETTER) for letter in "▁" + string.ascii_lowercase + string.digits + ".,;:!?-'\"()"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex("[-–—_/]"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    return tokenizer


def write(folder: pathlib.Path) -> None:
    """Writes tokenizer.json and the two files that transformers wants beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(build().to_str(pretty=False) + "\n")
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    config = {
        "additional_special_tokens": [],
        "clean_up_tokenization_spaces": False,
        "extra_ids": 0,
        "model_max_length": 512,
        "tokenizer_class": "T5Tokenizer",
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(names, indent=2) + "\n")
