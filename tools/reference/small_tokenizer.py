"""A small unigram tokenizer of our own, with byte fallback, written as tokenizer.json in either layout that is about.

`current` is what the converter of transformers 4.57 yields, `older` is that of files converted years ago
(WhitespaceSplit before Metaspace). The vocabulary is trained on the sentences below: no file of another project.
"""

import io
import json
import pathlib

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

VOCABULARY = 480

SENTENCES = """
A red fox walks through deep snow at dawn, and the light is golden.
Two boats rest on a calm lake while mist rises over the water.
The camera moves slowly along a street with wet stones and warm windows.
An old clock tower stands above the roofs; birds turn around it.
Close-up of a hand that draws a circle with chalk on a black board.
A child throws a paper plane from a balcony, the city lies below.
Waves break on dark rocks, spray flies high, slow motion, wide shot.
A cup of tea on a wooden table, steam curls up in front of the window.
A train crosses a bridge at night, its lights run over the river.
Sunflowers bend in the wind under a blue sky with white clouds.
A paper lantern floats up between trees, fireflies all around.
Rain runs down the glass, the street behind it is out of focus.
A cat sleeps on a stack of books, dust dances in the sunlight.
Snow falls on a quiet village, smoke comes from the chimneys.
A dancer turns on an empty stage, one single light from above.
blurred, static, overexposed, low quality, worst quality, extra fingers, grey, subtitles, watermark
A robot waters the plants in a greenhouse, close-up, soft light.
The market is full of people, colours and voices; a drone shot from above.
Ein alter Mann füttert Tauben auf dem großen Platz vor der Brücke.
Das Mädchen läuft über die grüne Wiese, später wird es dunkel.
Un café à côté de la fenêtre, où l'été brûle encore, très doux.
Une forêt brumeuse au lever du soleil, des oiseaux chantent.
El niño corre por la playa y el perro salta en el agua; ¿mañana?
Um barco pequeno navega pelo rio, o céu está cheio de estrelas.
Il vecchio faro si illumina quando arriva la sera.
Рыжая лиса идёт по снегу на рассвете, свет золотой.
Старый поезд едет через мост, ночь и огни города.
一只猫在雪地上走路，阳光很暖。
两只小船停在湖上，水面很静，镜头慢慢移动。
低质量，模糊，静态，过曝，灰色，字幕，最差质量。
古い時計台の上を鳥が飛ぶ。静かな朝。
雨が窓を流れて、町の明かりがにじむ。
ثعلب أحمر يمشي على الثلج عند الفجر.
1 2 3 4 5 6 7 8 9 0, 16 frames, 24 fps, 35 mm, f/2.8, 4k, 100%!
""".strip().splitlines()


def _normalisation_rules():
    """Full-width ASCII, the ideographic and no-break spaces and four ligatures, in the trainer's table format."""
    rows = [f"{full:X}\t{full - 0xFEE0:X}" for full in range(0xFF01, 0xFF5F)]
    rows += ["3000\t20", "A0\t20", "9\t20", "A\t20", "D\t20"]
    rows += ["FB00\t66 66", "FB01\t66 69", "FB02\t66 6C", "2026\t2E 2E 2E"]
    return "\n".join(rows) + "\n"


def fields(message):
    """(number, payload) of the length-delimited fields of a protobuf message; other fields are stepped over."""

    def varint(at):
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    at = 0
    while at < len(message):
        tag, at = varint(at)
        if tag & 7 == 2:
            size, at = varint(at)
            yield tag >> 3, message[at : at + size]
            at += size
        elif tag & 7 == 0:
            _, at = varint(at)
        else:
            at += {1: 8, 5: 4}[tag & 7]


def train(scratch, vocabulary=VOCABULARY):
    """Trains the pieces: ([(piece, score)] in id order, the precompiled character map)."""
    rules = pathlib.Path(scratch) / "rules.tsv"
    rules.write_text(_normalisation_rules())
    lines = [line for line in SENTENCES for _ in range(3)] + [w for line in SENTENCES for w in line.split() * 2]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        model_type="unigram",
        vocab_size=vocabulary,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_tsv=str(rules),
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        num_threads=1,
        max_sentencepiece_length=12,
        minloglevel=2,
    )
    proto = out.getvalue()
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]
    spec = next(payload for number, payload in fields(proto) if number == 3)
    charsmap = next(payload for number, payload in fields(spec) if number == 2)
    return pieces, charsmap


def write(folder, scratch, layout):
    """Writes tokenizer/ and returns the number of ids."""
    pieces, charsmap = train(scratch)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    if layout == "current":
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Precompiled(charsmap),
                normalizers.Strip(left=False, right=True),
                normalizers.Replace(Regex(" {2,}"), "▁"),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
        tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    elif layout == "older":
        tokenizer.normalizer = normalizers.Precompiled(charsmap)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
        )
        tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    else:
        raise ValueError(layout)
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Without indentation: half the bytes.
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n")
    config = {
        "additional_special_tokens": [],
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "extra_ids": 0,
        "model_max_length": 512,
        "pad_token": "<pad>",
        "tokenizer_class": "T5Tokenizer",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    names = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(names, indent=2) + "\n")
    return tokenizer.get_vocab_size()
