"""Writes captions of scenes: varied wording and order, things left out, slips of the pen, sometimes nothing at all."""

import random

from . import words
from .scenes import ALONE, BEFORE, BEHIND, TOGETHER, Scenes

COLOURS, BACKGROUNDS = tuple(words.COLOURS), tuple(words.BACKGROUNDS)
EMPTY, TYPO = 0.1, 0.04
LEAVE_OUT = 0.06
PLACES = ("on", "on", "over", "against", "in front of", "before")
BARE_PLACES = ("on", "over", "against")
GROUND = ("background", "background", "background", "backdrop")


def _word(pick: random.Random, options: list):
    return options[0] if pick.random() < 0.5 else pick.choice(options)


def _article(pick: random.Random, phrase: str) -> str:
    """The phrase with its article, which is sometimes the wrong one, or missing, or "the"."""
    roll = pick.random()
    if roll < 0.08:
        return phrase
    if roll < 0.12:
        return f"the {phrase}"
    right = "an" if phrase[0] in "aeiou" else "a"
    if roll < 0.16:
        right = "a" if right == "an" else "an"
    return f"{right} {phrase}"


def _object(pick: random.Random, scenes: Scenes, row: int, which: int, plain: bool) -> str:
    """"small red circle" and the like, without an article."""
    colour = COLOURS[scenes.colour[row, which]]
    shape = words.SHAPES[scenes.shape[row, which]]
    size = words.SIZES[scenes.size[row, which]]
    say = (lambda options: options[0]) if plain else (lambda options: _word(pick, options))
    parts = []
    # What is not told is medium.
    told = 0.1 if size == "medium" else 0.95
    if pick.random() < told:
        parts.append(say(words.SIZE_WORDS[size]))
    if pick.random() >= LEAVE_OUT:
        parts.append(say(words.COLOUR_WORDS[colour]))
    if len(parts) == 2 and pick.random() < 0.12:
        parts.reverse()
    if pick.random() < LEAVE_OUT:
        return " ".join([*parts, pick.choice(("shape", "object", "thing"))])
    return " ".join([*parts, say(words.SHAPE_WORDS[shape])])


def _motion(pick: random.Random, scenes: Scenes, row: int, which: int, form: int, plain: bool) -> str:
    """What the object does, with an adverb where it is slow or quick; empty where it is left out."""
    if pick.random() < LEAVE_OUT:
        return ""
    motion, speed = words.MOTIONS[scenes.motion[row, which]], words.SPEEDS[scenes.speed[row, which]]
    forms = words.MOTION_WORDS[motion]
    phrase = (forms[0] if plain else _word(pick, forms))[form]
    if speed and motion != "still" and pick.random() < 0.85:
        adverb = words.SPEED_WORDS[speed][0] if plain else _word(pick, words.SPEED_WORDS[speed])
        return f"{adverb} {phrase}" if pick.random() < 0.35 else f"{phrase} {adverb}"
    return phrase


def _ground(pick: random.Random, scenes: Scenes, row: int, plain: bool) -> tuple[str, str]:
    """The background as (place with preposition, bare name); empty where it is left out."""
    if pick.random() < LEAVE_OUT:
        return "", ""
    options = words.BACKGROUND_WORDS[BACKGROUNDS[scenes.background[row]]]
    colour = options[0] if plain else _word(pick, options)
    if pick.random() < 0.08:
        colour = ("gradient " if scenes.gradient[row] else "plain ") + colour
    if not plain and pick.random() < 0.15:
        return f"{pick.choice(BARE_PLACES)} {colour}", f"{colour} background"
    name = f"{colour} {'background' if plain else pick.choice(GROUND)}"
    return f"{'on' if plain else pick.choice(PLACES)} {_article(pick, name)}", name


def _slip(pick: random.Random, text: str) -> str:
    """One letter of one long word swapped, lost or doubled."""
    parts = text.split(" ")
    long = [i for i, part in enumerate(parts) if len(part) > 3]
    if long:
        at = pick.choice(long)
        word, k = parts[at], pick.randrange(1, len(parts[at]) - 1)
        parts[at] = pick.choice((word[:k] + word[k + 1] + word[k] + word[k + 2 :], word[:k] + word[k + 1 :],
                                 word[:k] + word[k] + word[k:]))  # fmt: skip
    return " ".join(parts)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _one(pick: random.Random, scenes: Scenes, row: int, plain: bool) -> str:
    thing = _object(pick, scenes, row, 0, plain)
    place, name = _ground(pick, scenes, row, plain)
    order = 0.0 if plain else pick.random()
    if order < 0.45:
        return _join(_article(pick, thing), _motion(pick, scenes, row, 0, 0, plain), place)
    if order < 0.65:
        return _join(_article(pick, thing), _motion(pick, scenes, row, 0, 1, plain), place)
    if order < 0.75:
        return _join(_article(pick, thing), place, _motion(pick, scenes, row, 0, 0, plain))
    if order < 0.88:
        form = pick.randrange(2)
        rest = _join(_article(pick, thing), _motion(pick, scenes, row, 0, form, plain))
        return f"{place}, {rest}" if place else rest
    tags = [thing, _motion(pick, scenes, row, 0, 0, plain), name]
    if pick.random() < 0.3:
        pick.shuffle(tags)
    return ", ".join(tag for tag in tags if tag)


def _two(pick: random.Random, scenes: Scenes, row: int, plain: bool) -> str:
    first, second = (_article(pick, _object(pick, scenes, row, k, plain)) for k in (0, 1))
    place, _ = _ground(pick, scenes, row, plain)
    relation = int(scenes.relation[row])
    if relation == TOGETHER:
        both = [f"{first} and {second}", f"{second} and {first}"][pick.random() < 0.5]
        whole = _join(both, _motion(pick, scenes, row, 0, 0 if plain else pick.choice((0, 2)), plain))
    elif relation in (BEFORE, BEHIND):
        where = "behind" if relation == BEHIND else pick.choice(("in front of", "before"))
        form = 0 if plain else pick.randrange(2)
        motion = _motion(pick, scenes, row, 0, form, plain) or ("passing", "passes")[form]
        way = pick.random()
        if way < 0.5:
            whole = f"{first} {motion} {where} {second}"
        elif way < 0.75:
            whole = f"{first} {motion}, passing {where} {second}"
        else:
            whole = f"{first} {('passing', 'passes')[form]} {where} {second}, {motion}"
    else:
        form = 0 if plain else pick.randrange(2)
        told = [_join(thing, _motion(pick, scenes, row, k, form, plain)) for k, thing in enumerate((first, second))]
        if pick.random() < 0.5:
            told.reverse()
        whole = f"{told[0]}{' and' if pick.random() < 0.8 else ','} {told[1]}"
    if place and not plain and pick.random() < 0.2:
        return f"{place}, {whole}"
    return _join(whole, place)


def caption(scenes: Scenes, row: int, pick: random.Random) -> str:
    """A caption of one scene."""
    if pick.random() < EMPTY:
        return ""
    plain = pick.random() < 0.2
    text = (_one if int(scenes.relation[row]) == ALONE else _two)(pick, scenes, row, plain)
    if pick.random() < TYPO:
        text = _slip(pick, text)
    if not plain and pick.random() < 0.06:
        text = f"{pick.choice(('a video of', 'a clip of', 'an animation of'))} {text}"
    roll = pick.random()
    if roll < 0.3:
        text = text[:1].upper() + text[1:]
    elif roll < 0.32:
        text = text.upper()
    return text + "." if pick.random() < 0.3 else text


def captions(scenes: Scenes, seed: int) -> list[str]:
    """Captions of a batch, the same for the same seed."""
    pick = random.Random(seed)
    plain = scenes if scenes.colour.device.type == "cpu" else scenes.to("cpu")
    return [caption(plain, row, pick) for row in range(len(plain))]


def prompt(scenes: Scenes, row: int) -> str:
    """The plain prompt of a single object, all attributes named, as the evaluation asks for it."""
    colour, shape = COLOURS[scenes.colour[row, 0]], words.SHAPES[scenes.shape[row, 0]]
    motion = words.MOTION_WORDS[words.MOTIONS[scenes.motion[row, 0]]][0][0]
    article = "an" if colour[0] in "aeiou" else "a"
    return f"{article} {colour} {shape} {motion} on a {BACKGROUNDS[scenes.background[row]]} background"
