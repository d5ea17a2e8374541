"""What the world is made of: colours, shapes, motions, their synonyms, and which combinations training never sees."""

import math

# sRGB centres of the colours, 0 to 255.
COLOURS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (245, 220, 50),
    "green": (50, 170, 70),
    "cyan": (60, 200, 220),
    "blue": (45, 85, 220),
    "purple": (140, 70, 190),
    "pink": (245, 130, 180),
    "white": (245, 245, 245),
}
BACKGROUNDS = {
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
    "white": (245, 245, 245),
    "blue": (45, 85, 220),
    "navy": (20, 30, 80),
    "teal": (20, 110, 110),
    "brown": (110, 70, 40),
    "olive": (110, 115, 40),
    "maroon": (100, 25, 40),
}
SHAPES = ("circle", "square", "triangle", "star", "ring")
MOTIONS = ("left", "right", "up", "down", "bouncing", "circling", "growing", "shrinking", "still")
SIZES = ("small", "medium", "large")
SPEEDS = ("slowly", "", "quickly")

# The first word of each list is the plain one, used half of the time.
COLOUR_WORDS = {
    "red": ["red", "crimson", "scarlet"],
    "orange": ["orange", "tangerine"],
    "yellow": ["yellow", "golden"],
    "green": ["green", "emerald"],
    "cyan": ["cyan", "turquoise", "aqua"],
    "blue": ["blue", "azure"],
    "purple": ["purple", "violet"],
    "pink": ["pink", "rose"],
    "white": ["white", "snowy"],
}
BACKGROUND_WORDS = {
    "black": ["black", "jet black"],
    "gray": ["gray", "grey"],
    "white": ["white", "snowy"],
    "blue": ["blue", "azure"],
    "navy": ["navy", "navy blue", "dark blue"],
    "teal": ["teal", "dark cyan"],
    "brown": ["brown", "chocolate"],
    "olive": ["olive", "olive green"],
    "maroon": ["maroon", "dark red", "burgundy"],
}
SHAPE_WORDS = {
    "circle": ["circle", "disc", "disk", "ball", "dot"],
    "square": ["square", "box"],
    "triangle": ["triangle"],
    "star": ["star"],
    "ring": ["ring", "hoop", "donut"],
}
SIZE_WORDS = {
    "small": ["small", "little", "tiny"],
    "medium": ["medium", "medium-sized"],
    "large": ["large", "big", "huge"],
}
SPEED_WORDS = {"slowly": ["slowly", "gently"], "quickly": ["quickly", "fast", "rapidly"]}

# (participle, third person, plural) of each motion.
MOTION_WORDS = {
    "left": [
        ("moving left", "moves left", "move left"),
        ("moving to the left", "moves to the left", "move to the left"),
        ("drifting left", "drifts to the left", "drift to the left"),
        ("going left", "goes left", "go left"),
        ("sliding to the left", "slides left", "slide left"),
        ("gliding leftward", "glides to the left", "glide leftward"),
        ("traveling left", "travels leftward", "travel left"),
    ],
    "right": [
        ("moving right", "moves right", "move right"),
        ("moving to the right", "moves to the right", "move to the right"),
        ("drifting right", "drifts to the right", "drift to the right"),
        ("going right", "goes right", "go right"),
        ("sliding to the right", "slides right", "slide right"),
        ("gliding rightward", "glides to the right", "glide rightward"),
        ("traveling right", "travels rightward", "travel right"),
    ],
    "up": [
        ("moving up", "moves up", "move up"),
        ("moving upward", "moves upwards", "move upward"),
        ("rising", "rises", "rise"),
        ("going up", "goes up", "go up"),
        ("climbing", "climbs", "climb"),
        ("floating up", "floats upward", "float up"),
        ("drifting up", "drifts up", "drift up"),
    ],
    "down": [
        ("moving down", "moves down", "move down"),
        ("moving downward", "moves downwards", "move downward"),
        ("falling", "falls", "fall"),
        ("going down", "goes down", "go down"),
        ("sinking", "sinks", "sink"),
        ("descending", "descends", "descend"),
        ("dropping", "drops", "drop"),
        ("drifting down", "drifts down", "drift down"),
    ],
    "bouncing": [
        ("bouncing", "bounces", "bounce"),
        ("bouncing up and down", "bounces up and down", "bounce up and down"),
        ("hopping", "hops", "hop"),
        ("jumping", "jumps", "jump"),
    ],
    "circling": [
        ("circling", "circles", "circle"),
        ("moving in a circle", "moves in a circle", "move in a circle"),
        ("going round", "goes round", "go round"),
        ("orbiting", "orbits", "orbit"),
        ("circling around", "circles around", "circle around"),
    ],
    "growing": [
        ("growing", "grows", "grow"),
        ("getting bigger", "gets bigger", "get bigger"),
        ("expanding", "expands", "expand"),
        ("growing larger", "gets larger", "get larger"),
    ],
    "shrinking": [
        ("shrinking", "shrinks", "shrink"),
        ("getting smaller", "gets smaller", "get smaller"),
        ("contracting", "contracts", "contract"),
    ],
    "still": [
        ("standing still", "stands still", "stand still"),
        ("not moving", "does not move", "do not move"),
        ("motionless", "stays still", "stay still"),
        ("resting", "rests", "rest"),
        ("staying in place", "stays in place", "stay in place"),
    ],
}

# Below this sRGB distance an object is hard to tell from its background, and the pair never occurs.
APART = 125.0
# Of each hundred combinations, how many training never sees.
HELD_OUT_PERCENT = 18


def apart(colour: str, background: str) -> bool:
    """Whether an object of `colour` stands out on `background`."""
    return math.dist(COLOURS[colour], BACKGROUNDS[background]) >= APART


def held_out(colour: str, shape: str, motion: str, background: str) -> bool:
    """Whether the combination is kept from training.

    32-bit FNV-1a of "colour shape motion background", its upper half folded into the lower, modulo 100.
    """
    digest = 2166136261
    for byte in f"{colour} {shape} {motion} {background}".encode():
        digest = (digest ^ byte) * 16777619 & 0xFFFFFFFF
    digest ^= digest >> 16
    return digest % 100 < HELD_OUT_PERCENT


def combinations(which: bool | None = None) -> list[tuple[int, int, int, int]]:
    """All (colour, shape, motion, background) indices whose colours stand apart: held out, in training, or both."""
    found = []
    for c, colour in enumerate(COLOURS):
        for s, shape in enumerate(SHAPES):
            for m, motion in enumerate(MOTIONS):
                for b, background in enumerate(BACKGROUNDS):
                    if apart(colour, background):
                        if which is None or held_out(colour, shape, motion, background) == which:
                            found.append((c, s, m, b))
    return found
