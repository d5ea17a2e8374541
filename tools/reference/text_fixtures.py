"""Writes tests/fixtures/text: strings, what diffusers' Wan pipeline cleans them to, and their ids in three tokenizers.

Usage: python tools/reference/text_fixtures.py [FOLDER]

The truth is diffusers 0.42.1's own `prompt_clean` with ftfy 6.3.1, and the Python face of `tokenizers` 0.22.2, which
transformers 4.57.6 uses; T5TokenizerFast is held against it, truncation included. The vocabulary is trained on text that
this script makes. Everything is seeded; the Unicode tables are those of Python 3.11 (14.0), so no string holds a
character that is younger.

tokenizer.json        the layout of today's converter, normalisation nmt_nfkc (SentencePiece's own character map)
tokenizer_older.json  WhitespaceSplit before Metaspace, a small character map
cases.json            {input, cleaned, current, bytes, older}: `bytes` is tokenizer.json with byte_fallback switched on;
                      `cleaned` is left out where it is the input, `bytes` where it is `current`
"""

import html.entities
import io
import json
import random
import sys
import tempfile
import unicodedata
from importlib.metadata import version
from pathlib import Path

import together  # noqa: F401

import sentencepiece
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import T5TokenizerFast

from small_tokenizer import fields

for package, pinned in {"diffusers": "0.42.1", "ftfy": "6.3.1", "tokenizers": "0.22.2", "transformers": "4.57.6"}.items():
    assert version(package) == pinned, (package, version(package))
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "tests/fixtures/text")
RANDOM = random.Random(20)
MAX_TOKENS = 512
EXTRA_IDS = 10

WORDS = {
    "latin": """a the of in and with over under slow camera light red fox snow walks river boat calm lake mist old street
        wet stones window warm close-up hand draws circle paper lantern floats between trees rain glass focus cat sleeps
        books dust sunlight dancer stage single robot waters plants greenhouse drone shot market people voices blurred
        static quality frames wide motion Straße Mädchen läuft über grüne Wiese später dunkel café côté fenêtre été brûle
        très doux niño corre playa mañana céu está estrelas più città łódź żółty ąę čeština příliš güneş ığdır façade
        naïve coöperate Ærø smørrebrød þorn""",
    "cyrillic": "лиса идёт по снегу рассвет свет золотой старый поезд через мост ночь огни города привет мир ёлка",
    "greek": "καλημέρα κόσμε θάλασσα φως νύχτα ήλιος γάτα βιβλίο",
    "arabic": "ثعلب أحمر يمشي على الثلج عند الفجر مرحبا بالعالم ضوء القمر",
    "hebrew": "שלום עולם שועל אדום הולך בשלג אור הירח לילה",
    "thai": "สวัสดี ชาวโลก แมว นอน หลับ ฝน ตก กลางคืน แสง",
    "devanagari": "नमस्ते दुनिया लाल लोमड़ी बर्फ सुबह रोशनी नदी",
    "korean": "안녕 세상 여우 눈 새벽 빛 강 고양이",
    "han": "一只猫 在雪地上 走路 阳光 很暖 两只小船 停在湖上 镜头 慢慢 移动 低质量 模糊 静态 字幕 東京 静かな朝 雨が 窓を流れる カメラ",
}
WORDS = {script: words.split() for script, words in WORDS.items()}
PHRASES = """schön über Straße|l’été “naïve” façade — à la carte|à quele às voilà là|Zażółć gęślą jaźń|Çok güzel ığdır|Ļoti jauķi
ÀÉÎÕ ñÑ ÿ|€ — … ™ ½ ² ° © ®|Привет, мир|Καλημέρα κόσμε|你好，世界！|東京の朝|مرحبا بالعالم|שלום עולם|สวัสดีชาวโลก|नमस्ते|한국어 텍스트|😍 ok|👩‍👩‍👧 👍🏽
“quoted” ‘single’|no\u00a0break\u00a0space|Ørsted, Ærø|the café’s crème brûlée|✔ No problems|¯\\_(ツ)_/¯|Å and à""".replace("\n", "|")
PHRASES = PHRASES.split("|")
ENCODINGS = """latin-1 sloppy-windows-1252 sloppy-windows-1251 sloppy-windows-1250 sloppy-windows-1253 sloppy-windows-1254
    sloppy-windows-1257 iso-8859-2 macroman cp437""".split()

FIXED = [
    # Empty, blanks only.
    *["", " ", "   ", "\t", "\n", " \r\n\t ", "\u00a0", "\u3000", "\u2003\u2009", "\u200b", "\ufeff", "\x00", "\x85", "\x1c", "▁", " ▁ "],
    # Blanks of all kinds between and around words.
    *[f"a{c}b" for c in "\t\n\x0b\x0c\r\x1c\x1f\x85\u00a0\u1680\u180e\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"],
    *[f"{c}ab c{c}" for c in " \x1c\x1f\x85\u00a0\u2007\u200b\u2028\u3000\ufeff"],
    "two  spaces   three    four", "trailing   ", "   leading", "line\r\nline\rline\n\nline\u2028line\u2029line\x85line",
    "▁meta▁space▁", "a ▁b", "tab\tand\u00a0no-break",
    # Special tokens in the text.
    *["</s>", "<pad>", "<unk>", "<extra_id_0>", "a</s>b", "a </s> b", "before <extra_id_0> after", "<extra_id_9><extra_id_1>"],
    *["<extra_id_99>", "</S>", "< /s>", "fox</s>", "</s>fox", "<0x41>", "&lt;/s&gt;", "&amp;lt;/s&amp;gt;", "＜/s＞", " <unk> x"],
    # Entities.
    *["&amp;lt;", "&amp;amp;lt;b&amp;amp;gt;", "&lt;b&gt;", "<b>&amp;</b>", "a < b &amp; c", "&amp;\n<x>\n&amp;eacute;", "&ampamp;"],
    *["&EACUTE; &eacute; &Eacute; &eACUTE;", "BUNDESSTRA&SZLIG;E", "&NTILDE;&Ntilde;", "&notit; &not; &not", "&copy2024 &COPY;"],
    *["&#233; &#xe9; &#XE9; &#233", "&#0;", "&#128; &#x9f; &#150;", "&#13;a", "&#1;&#11;&#127;", "&#xd800; &#x110000;", "&#xfdd0;&#xfffe;"],
    *["&#59; &#38;lt; &#x26;amp;", "&#99999999999999999999;", "&;", "&#;", "&#x;", "&unknown;", "&&amp;&", "R&D", "AT&T; x&y", "&hellip;&#x2019;"],
    *["&nbsp;a&nbsp;b&nbsp;", "&NotEqualTilde; &fjlig; &nGt;", "&Jscr;ohn", "&shy;x&zwj;y", "&thinsp;&emsp;", "&ouml", "sch&ouml;n"],
    "&" + "a" * 40 + ";", "&CounterClockwiseContourIntegral; &CounterClockwiseContourIntegral",
    # Quotes, ligatures, widths.
    *["“curly” ‘single’ „low“ ‚low‘ «angle» ‹angle›", "don’t ʼn ŉ", "ﬁne ﬂow ﬀ ﬃ ﬄ ﬅ ﬆ", "Ĳĳ Ǆǅǆ Ǉǈǉ Ǌǋǌ Ǳǲǳ", "æ œ ß ſ"],
    *["ＬＯＵＤ　ＮＯＩＳＥＳ", "Ｕﾀｰﾝ ﾊﾟﾋﾟ ｶﾞｷﾞ", "１２３，４５６．７％", "￥￡￠￦￣￤", "ﾠ￨￫￭", "！＂＃＄％＆＇（）", "＆ａｍｐ；"],
    # Terminal escapes, controls, annotations, directions.
    *["\x1b[36;44mblue\x1b[0m", "\x1b[1mbold \x1b[ 1m \x1b[Kx", "\x1b[٣mdigit", "a\x00b\x07c\x7fd", "C1 \x80\x93quoted\x94 \x85\x99", "\x81\x8d\x8f\x90\x9d"],
    *["\u206aold\u206f \ufff9note\ufffa\ufffb \ufffc", "\u202eright\u202c \u200eleft \u2066iso\u2069", "\ufeffmark \ufeff", "soft\u00adhyphen"],
    # Combining marks and normal forms.
    *["e\u0301 e\u0323\u0302 \u1e69 s\u0307\u0323", "\u0301alone", "a\u0300\u0301\u0302\u0303\u0304\u0305", "Å \u212b A\u030a", "한 \u1112\u1161\u11ab"],
    *["q\u0307\u0323 \u0344 \u2126", "\u09c7\u09be \u0b47\u0b56", "Z\u0351\u036b\u0343a\u0363\u0368l\u0348\u034eg\u0321\u0352o\u0362", "\u0958 \u2adc"],
    # Emoji: joiners, skin tones, flags, keycaps, tags, variation selectors.
    *["👩‍👩‍👧‍👦", "👍🏽👍🏿", "🏳️‍🌈 🏴‍☠️", "🇩🇪🇯🇵🇧", "1️⃣#️⃣*️⃣", "❤️❤", "👩🏻‍💻 works", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "☺︎ ☺️", "a👍b"],
    # Marks that only look broken.
    *["(ノಠ益ಠ)ノ彡┻━┻", "¯\\_(ツ)_/¯", "°º¤ø,¸¸,ø¤º°`", "5 × 3 ≤ 20 ± ½", "√2 ≈ 1.41", "Ã is a letter", "20 °C, 5 €", "œuvre Œ", "IKEA’s “Ångström”"],
    # Known accidents.
    *["schÃ¶n", "sÃ³", "voilÃ le travail", "Ã la mode", "Ã quele", "fÃ cil", "âœ” No problems", "â€œquotedâ€\x9d â€˜xâ€™", "â€œ like this â€\ufffd"],
    *["lâ€™humanitÃ©", "ÃƒÂ¼ber", "ÃÂ¼ber", "RÃ©union: the cafÃ© â€” open", "æ\x9d±äº¬", "ã\x81\x93ã\x82\x93", "Ð¿Ñ\x80Ð¸Ð²ÐµÑ\x82", "РїСЂРёРІРµС‚"],
    *["рџ‘Ќ", "ðŸ‘\x8d", "ðŸ˜", "Ã\xa0 Ã¡", "(ã\x83\x84)", "вЂ™", "Ãabc", "L\u2019Ã©té", "í\xa0½í¸\x8d", "À\x80x Ã©", "Ã©À\n", "â\x80?", "Ã?x Ã©", "Ä\x8c Å½ Å¡"],
    *["schÃ¶n\nschön", "it’s schÃ¶n", "ok ÃƒÂ© “fine” 東京", "&Atilde;&para;", "sch&Atilde;&para;n", "&acirc;&euro;&trade;", "Ã¯Â¬Â\x81", "ﾃδｼ"],
    # Other.
    *["a" * 400, "é" * 100, "漢" * 60, "😀" * 40, "?!" * 30, "0123456789" * 8, "http://example.org/a?b=1&amp;c=2&lt=3", "CamelCaseWord snake_case kebab-case", "\U0010fffd \ue000 \uf8ff", "\ufffd\ufffe\uffff"],
]


# For every neighbourhood of ftfy's badness heuristic, and every kind of lost byte that it restores, strings that only this
# one changes (found by switching each off in turn).
# fmt: off
PROBES = [
    "ð\x9f\x94º\nâ\x98µa", "γƒΎ.β\x8a\x88", "Υ”ΰ¶¤", "â˜¯x", "xЬ†", "AЬ†вџ•рџЊЊ", "ƒÜy‡§ç0", "‡≤û\uf8ffüé¶‚åø",
    "BđźŚ—", "ac╥É", "Γ¢æb", "x×œ", "à¥£!", "â—›\nà¥½a", " Š€x", "ŢŹ Ă€", "aB╤¼", "Ķ¶ą°°", "\uf8ffüëï‘≤", "â“±",
    "bâ›‚", "à®“x", "z\xa0±\uf8ffüì¶‚ï≤", "‹±‚ìî\n", "zÜ•", "xÉ€b!", "Γ¥ô╒òΓåà", " ╩û", "ΓÇ╝", "ΓÉèαñ╖x", "α┤»",
    "z\n╞»", "0Ø©b", "A ‚âß‚íµ.", "âœ¾\nâ—¨", "âœ©", "xË°â…‰", "„Ä°‚Çπ", "AÎžc", "Ð”", "×²B", "a\nĶ”×³c",
    "\nØ–Ù¡", "Ù±Ù»", ".à¹’", "z.bà²¼", "a√´‚ä∑ ", "\uf8ffüîû√≤", "≈°", "‚èá≈°«á", " ‚Äúx", "\xa0∞A‚Äî",
    "‚óêxy", "‚Åò‚óà∆∫", "0xвЂ»0", " вЂ¦\n", "Р“Г©Ш±", "С‡С†", "c0aÃ ", "byÃ ", "Â 0", "Â ", "!Â ", "!Â 0",
    "\nβ€°!", "Bβ€™β’›", "Γ£Β\xa0!", "Ο°Ξ΄B", "bðŸ“¢Î  ", "aÅ á•žx", "aâ ƒðŸš©x", " ðŸŒ¯ã \x81 ", " ã²‚â„  ",
    "bãž ðŸ\x8dŸc", " ðŸŒ x", " ðŸ’˜ðŸ™ c", "ðŸ\x8dŒÑ�", "È�Ô¡", "Ã?ðŸ�¬", "ãŽ‡Ã?", "í\xa0�íº‚í\xa0½íº»",
    "ÚŒí\xa0�í¾®", "Ô†í\xa0½í»�", "í\xa0¼í½?í\xa0¼í¿Ž", "áŒ\x8fã�ƒ", "í\xa0½í³¶ã�€", "ã¥?Æ°", "ßºã˜�",
    "ð�—•Ù\x90", "à¥ˆð�\x8f‡", "ðŸ?¡ð?\x8d©", "ÛˆðŸ?¼", "Ì¬ðŸ“?", "ã—¬ðŸ\x8d�", "á½?Ì�", "Ä�Å�", "donГўВЂВ™t",
    "ГўВЂВњa", "ð ®Ÿx", "ð\x90 €x",
]
# fmt: on


def sentence(scripts, length):
    return " ".join(RANDOM.choice(WORDS[RANDOM.choice(scripts)]) for _ in range(length))


def misread(text, encoding):
    """Text as it comes out when its UTF-8 is read in `encoding`."""
    return text.encode().decode(encoding)


def mojibake():
    """Every phrase in some encodings, twice misread, with lost bytes, among honest text."""
    for phrase in PHRASES:
        for encoding in RANDOM.sample(ENCODINGS, 4):
            yield misread(phrase, encoding)
    for encoding in ENCODINGS:
        yield misread(misread(RANDOM.choice(PHRASES), encoding), encoding)
        yield misread(misread(RANDOM.choice(PHRASES), "sloppy-windows-1252"), encoding)
        broken = misread(RANDOM.choice(PHRASES), encoding)
        yield broken.replace("\u00a0", " ")
        yield RANDOM.choice(PHRASES) + " " + broken + RANDOM.choice([" ", "\n"]) + RANDOM.choice(PHRASES)
        at = RANDOM.randrange(len(broken))
        yield broken[:at] + "\ufffd" + broken[at + 1 :]
        yield broken[:at] + "?" + broken[at + 1 :]
        yield broken[:at] + broken[at + 1 :]


def signs(count):
    """Random strings of the signs that misreading yields."""
    pool = sorted({c for encoding in ENCODINGS for c in bytes(range(0x80, 0x100)).decode(encoding)})
    for _ in range(count):
        yield "".join(RANDOM.choice(pool) if RANDOM.random() < 0.8 else RANDOM.choice("ab Z.\n") for _ in range(RANDOM.randrange(2, 14)))


def entities(count):
    names = sorted(html.entities.html5)
    for _ in range(count):
        name = RANDOM.choice(names)
        forms = [name, name.rstrip(";"), name.upper(), "amp;" + name, name[: RANDOM.randrange(1, len(name) + 1)] + "x"]
        yield RANDOM.choice(["", "a ", "é"]) + "&" + RANDOM.choice(forms) + RANDOM.choice(["", " b", "&#%d;" % RANDOM.randrange(1, 9000)])


def anything(count):
    """Random characters of all planes that Unicode 14 assigns, and of its blocks of blanks, marks and controls."""
    ranges = [(0x00, 0x180), (0x300, 0x370), (0x600, 0x700), (0x900, 0xE80), (0x2000, 0x2070), (0x3000, 0x3100), (0xFB00, 0x10000), (0x1F300, 0x1FA00), (0x20, 0x30000)]
    for _ in range(count):
        low, high = RANDOM.choice(ranges)
        chars = (chr(RANDOM.randrange(low, high)) for _ in range(40))
        yield "".join([c for c in chars if unicodedata.category(c) not in ("Cn", "Cs", "Co")][: RANDOM.randrange(3, 12)])


def cases():
    scripts = list(WORDS)
    prompts = [sentence([script], RANDOM.randrange(3, 12)) for script in scripts for _ in range(6)]
    mixed = [sentence(scripts, RANDOM.randrange(3, 10)) for _ in range(20)]
    long = [sentence(["latin"], 2000), sentence(scripts, 700)]
    everything = [*FIXED, *PROBES, *prompts, *mixed, *mojibake(), *signs(70), *entities(50), *anything(110), *long]
    return list(dict.fromkeys(everything))


def train(lines, **normalization):
    """Trains a unigram vocabulary with byte pieces: ([(piece, score)], character map)."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, model_type="unigram", vocab_size=1100, hard_vocab_limit=False,
        byte_fallback=True, character_coverage=0.999, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>",
        num_threads=1, minloglevel=2, **normalization,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    pieces = [(processor.id_to_piece(i), round(processor.get_score(i), 4)) for i in range(processor.get_piece_size())]
    spec = next(payload for number, payload in fields(out.getvalue()) if number == 3)
    return pieces, next(payload for number, payload in fields(spec) if number == 2)


def tokenizer(lines, layout, **normalization):
    pieces, charsmap = train(lines, **normalization)
    extra = [f"<extra_id_{i}>" for i in range(EXTRA_IDS - 1, -1, -1)]
    result = Tokenizer(models.Unigram(pieces + [(token, 0.0) for token in extra], unk_id=2, byte_fallback=False))
    precompiled = normalizers.Precompiled(charsmap)
    if layout == "current":
        strip, replace = normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")
        result.normalizer = normalizers.Sequence([precompiled, strip, replace])
        result.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    else:
        result.normalizer = precompiled
        metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
        result.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    special = ["<pad>", "</s>", "<unk>", *extra]
    result.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    result.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    return result


def same_as_transformers(tokenizer, path, inputs):
    """The pipeline's own call gives the ids that are written, and cuts them as is said."""
    pipeline = T5TokenizerFast(tokenizer_file=str(path), extra_ids=EXTRA_IDS)
    for text in inputs:
        ids = tokenizer.encode(text).ids
        cut = ids if len(ids) <= MAX_TOKENS else ids[: MAX_TOKENS - 1] + [1]
        assert pipeline(text, max_length=MAX_TOKENS, truncation=True, add_special_tokens=True).input_ids == cut, text


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    inputs = cases()
    lines = [sentence([script], 8) for script in WORDS for _ in range(150)] + [p for p in PHRASES for _ in range(4)]
    current = tokenizer(lines, "current", normalization_rule_name="nmt_nfkc")
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules.tsv"
        rows = [f"{full:X}\t{full - 0xFEE0:X}" for full in range(0xFF01, 0xFF5F)]
        rules.write_text("\n".join([*rows, "3000\t20", "A0\t20", "FB01\t66 69", "65 301\tE9", "2026\t2E 2E 2E", "200B\t"]) + "\n")
        older = tokenizer(lines, "older", normalization_rule_tsv=str(rules))
    (FOLDER / "tokenizer.json").write_text(current.to_str(pretty=False) + "\n")
    (FOLDER / "tokenizer_older.json").write_text(older.to_str(pretty=False) + "\n")
    same_as_transformers(current, FOLDER / "tokenizer.json", inputs)
    same_as_transformers(older, FOLDER / "tokenizer_older.json", inputs)
    text = (FOLDER / "tokenizer.json").read_text()
    assert text.count('"byte_fallback":false') == 1
    with_bytes = Tokenizer.from_str(text.replace('"byte_fallback":false', '"byte_fallback":true'))

    rows = []
    for text in inputs:
        row = {"input": text, "cleaned": prompt_clean(text)}
        row |= {"current": current.encode(text).ids, "bytes": with_bytes.encode(text).ids, "older": older.encode(text).ids}
        if row["cleaned"] == text:
            del row["cleaned"]
        if row["bytes"] == row["current"]:
            del row["bytes"]
        rows.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    (FOLDER / "cases.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.iterdir())}
    print(len(rows), "strings", sizes, sum(sizes.values()))


if __name__ == "__main__":
    main()
