"""Samples scenes of the world in batches: who is there, in which colours, and where at each frame."""

import dataclasses
import functools
import math

import torch

from . import words

FRAMES = 17
FPS = 8
# Radii by size, in half widths of the picture.
RADII = (0.24, 0.34, 0.45)
TRAVEL = (0.45, 0.8, 1.2)
BOUNCES = (1.0, 1.4, 2.0)
TURNS = (0.55, 0.75, 1.1)
RATIOS = (1.6, 2.0, 2.5)
# How far from the middle a shape's outline lies at most, over its radius.
EXTENT = 1.15
MARGIN = 0.97

LEFT, RIGHT, UP, DOWN, BOUNCING, CIRCLING, GROWING, SHRINKING, STILL = range(9)
# What a second object has to do with the first.
ALONE, TOGETHER, APART, BEFORE, BEHIND = range(5)
ROWS = (LEFT, RIGHT, STILL, GROWING, SHRINKING)
COLUMNS = (UP, DOWN, BOUNCING, STILL, GROWING, SHRINKING)


@dataclasses.dataclass
class Scenes:
    """A batch of B scenes; axis 1 is the object, the second only there where `relation` is not ALONE."""

    colour: torch.Tensor  # [B, 2], as are shape, size, speed, motion
    shape: torch.Tensor
    size: torch.Tensor
    speed: torch.Tensor
    motion: torch.Tensor
    background: torch.Tensor  # [B]
    gradient: torch.Tensor  # [B] bool: whether the background is a visible gradient
    relation: torch.Tensor  # [B]
    path: torch.Tensor  # [B, 2, T, 3]: x, y (downwards), radius in half widths from the middle
    angle: torch.Tensor  # [B, 2]: turn of the shape in radians
    ink: torch.Tensor  # [B, 2, 3]: colours in 0..1
    ground: torch.Tensor  # [B, 3]: background in 0..1
    slope: torch.Tensor  # [B, 3]: dx, dy of its brightness, and a tint

    def __len__(self) -> int:
        return len(self.background)

    def to(self, device) -> "Scenes":
        """The same scenes on another device."""
        return Scenes(**{f.name: getattr(self, f.name).to(device) for f in dataclasses.fields(self)})

    def pick(self, index) -> "Scenes":
        """The scenes at `index`."""
        return Scenes(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    def to_and_fro(self) -> torch.Tensor:
        """Which scenes have a first object that bounces or circles, [B]: the hardest to get right."""
        return torch.isin(self.motion[:, 0], torch.tensor([BOUNCING, CIRCLING], device=self.motion.device))


@functools.cache
def _tables():
    """The combinations of training and held out as [N, 4], and a [9, 5, 9, 9] table of those allowed in training."""
    train = torch.tensor(words.combinations(False))
    allowed = torch.zeros(len(words.COLOURS), len(words.SHAPES), len(words.MOTIONS), len(words.BACKGROUNDS)).bool()
    allowed[train.unbind(1)] = True
    distance = [[math.dist(a, b) >= words.APART for b in words.COLOURS.values()] for a in words.COLOURS.values()]
    return train, torch.tensor(words.combinations(True)), allowed, torch.tensor(distance)


def sample(count: int, generator: torch.Generator, held_out: bool = False, pairs: float = 0.25) -> Scenes:
    """Samples scenes on the CPU: of training, or single objects of held-out combinations."""
    train, kept, allowed, distinct = _tables()

    def uniform(*shape, low=0.0, high=1.0):
        return torch.rand(*shape, generator=generator) * (high - low) + low

    def choice(options, *shape):
        return torch.as_tensor(options)[torch.randint(len(options), shape, generator=generator)]

    def first(n):
        return choice(kept if held_out else train, n)

    first_of = first(count)
    relation = choice((TOGETHER, APART, APART, BEFORE, BEFORE, BEHIND), count)
    relation = torch.where((uniform(count) < pairs) & (not held_out), relation, ALONE)
    second_of = first_of.clone()
    rows = choice((True, False), count)
    todo = (relation != ALONE).nonzero()[:, 0]
    while len(todo):
        n = len(todo)
        a, b = first(n), torch.stack([choice(range(9), n), choice(range(5), n), choice(range(9), n)], 1)
        lane = torch.where(rows[todo], choice(ROWS, n), choice(COLUMNS, n))
        passing = relation[todo] >= BEFORE
        b[:, 2] = torch.where(passing, STILL, torch.where(relation[todo] == TOGETHER, a[:, 2], lane))
        in_row, in_column = (torch.isin(a[:, 2], torch.tensor(lane)) for lane in (ROWS, COLUMNS))
        lanes = torch.where(rows[todo], in_row, in_column)
        good = torch.where(passing, a[:, 2] <= DOWN, lanes) & distinct[a[:, 0], b[:, 0]]
        good &= allowed[b[:, 0], b[:, 1], b[:, 2], a[:, 3]] & ((relation[todo] != APART) | (a[:, 2] != b[:, 2]))
        first_of[todo[good]] = a[good]
        second_of[todo[good]] = torch.cat([b, a[:, 3:]], 1)[good]
        todo = todo[~good]

    colour, shape, motion = torch.stack([first_of, second_of], 1)[..., :3].unbind(-1)
    background = first_of[:, 3]
    size = torch.where(relation[:, None] == ALONE, choice(range(3), count, 2), choice((0, 1), count, 2))
    speed = choice(range(3), count, 2)
    speed[:, 1] = torch.where(relation == TOGETHER, speed[:, 0], speed[:, 1])
    path = _paths(motion, size, speed, relation, rows, uniform)

    tilt = uniform(count, 2, low=-0.1, high=0.1) * (shape != 0)
    ink = torch.tensor(list(words.COLOURS.values()))[colour] / 255 + uniform(count, 2, 3, low=-0.04, high=0.04)
    ground = torch.tensor(list(words.BACKGROUNDS.values()))[background] / 255 + uniform(count, 3, low=-0.03, high=0.03)
    gradient = uniform(count) < 0.5
    turn, steep = uniform(count, high=2 * math.pi), uniform(count, low=0.05, high=0.11) * gradient
    slope = torch.stack([steep * turn.cos(), steep * turn.sin(), uniform(count, low=-0.5, high=0.5)], 1)
    return Scenes(
        colour, shape, size, speed, motion, background, gradient, relation, path, tilt,
        ink.clamp(0, 1), ground.clamp(0, 1), slope,
    )  # fmt: skip


def _paths(motion, size, speed, relation, rows, uniform):
    """Centres and radii at each frame, [B, 2, T, 3]."""
    count = len(motion)
    t = torch.linspace(0, 1, FRAMES)

    def by(table, index):
        return torch.tensor(table)[index]

    pair = (relation != ALONE)[:, None]
    passing = (relation >= BEFORE)[:, None]
    second = torch.tensor([[False, True]])
    radius = by(RADII, size) * uniform(count, 2, low=0.92, high=1.08)
    radius = torch.where(passing & second, radius.clamp(min=0.24), radius)
    room = MARGIN - EXTENT * radius

    # Straight ways: `along` runs from -way/2 to way/2 around a middle, `across` stays.
    way = torch.minimum(by(TRAVEL, speed) * uniform(count, 2, low=0.9, high=1.1), 2 * room)
    way = torch.where(passing & ~second, way.clamp(min=0.9).minimum(2 * room), way)
    middle = uniform(count, 2, low=-1, high=1) * (room - way / 2)
    middle = torch.where(passing, uniform(count, 2, low=-0.08, high=0.08), middle)
    rest = uniform(count, 2, low=-0.85, high=0.85) * room
    side = torch.where(uniform(count) < 0.5, 1.0, -1.0)
    lane = torch.stack([side, -side], 1) * uniform(count, 2, low=0.4, high=0.46)
    rest = torch.where(passing, uniform(count, 2, low=-0.1, high=0.1), torch.where(pair, lane, rest))
    free = uniform(count, 2, low=-0.85, high=0.85) * room
    free = torch.where(passing, uniform(count, 2, low=-0.1, high=0.1), torch.where(pair, free * 0.6, free))

    sign = torch.where((motion == RIGHT) | (motion == DOWN), 1.0, -1.0)[..., None]
    along = middle[..., None] + sign * way[..., None] * (t - 0.5)
    # Where an object does not travel, a lane across rows is its y, and across columns its x.
    lies = (pair & rows[:, None] & ~passing)[..., None]
    still_x = torch.where(lies[..., 0], free, rest)[..., None].expand(-1, -1, FRAMES)
    still_y = torch.where(lies[..., 0], rest, free)[..., None].expand(-1, -1, FRAMES)
    sideways = ((motion == LEFT) | (motion == RIGHT))[..., None]
    upright = ((motion == UP) | (motion == DOWN))[..., None]
    x = torch.where(sideways, along, torch.where(upright, rest[..., None], still_x))
    y = torch.where(upright, along, torch.where(sideways, rest[..., None], still_y))

    u = (by(BOUNCES, speed)[..., None] * t + uniform(count, 2)[..., None]) % 1
    high = torch.minimum(uniform(count, 2, low=0.8, high=1.2), 1.9 * room)
    bounce = room[..., None] - high[..., None] * 4 * u * (1 - u)
    y = torch.where((motion == BOUNCING)[..., None], bounce, y)

    wide = torch.minimum(uniform(count, 2, low=0.34, high=0.5), room)
    turn = torch.where(uniform(count, 2) < 0.5, 1.0, -1.0)[..., None] * by(TURNS, speed)[..., None] * t
    phase = 2 * math.pi * (turn + uniform(count, 2)[..., None])
    circling = (motion == CIRCLING)[..., None]
    centre = uniform(2, count, 2, low=-1, high=1) * (room - wide)
    x = torch.where(circling, centre[0][..., None] + wide[..., None] * phase.cos(), x)
    y = torch.where(circling, centre[1][..., None] + wide[..., None] * phase.sin(), y)

    power = ((motion == GROWING).float() - (motion == SHRINKING).float())[..., None] * (t - 0.5)
    r = radius[..., None] * by(RATIOS, speed)[..., None] ** power
    # Whoever grows moves in from the edge rather than out of the picture.
    bound = (MARGIN - EXTENT * r.amax(-1, keepdim=True)).clamp(min=0)
    swells = (motion == GROWING) | (motion == SHRINKING)
    x = torch.where(swells[..., None], x.clamp(-bound, bound), x)
    y = torch.where(swells[..., None], y.clamp(-bound, bound), y)
    return torch.stack([x, y, r], -1)
