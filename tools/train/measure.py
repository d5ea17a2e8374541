"""Looks at frames alone and says what they show: object colour, background, shape and motion. To steer training by."""

import math

import torch

from . import scenes, words

COLOURS = torch.tensor(list(words.COLOURS.values())).float()
BACKGROUNDS = torch.tensor(list(words.BACKGROUNDS.values())).float()
ATTRIBUTES = ("colour", "background", "shape", "motion")


def _mask(clip: torch.Tensor) -> tuple[int, int, torch.Tensor]:
    """(colour, background, mask [T, H, W]) of a clip [3, T, H, W] in 0..255."""
    _, frames, tall, wide = clip.shape
    border = torch.zeros(tall, wide, dtype=torch.bool)
    border[:5], border[-5:], border[:, :5], border[:, -5:] = True, True, True, True
    edge = clip[:, :, border].flatten(1).median(1).values
    background = int((BACKGROUNDS - edge).square().sum(1).argmin())
    # A gradient is a plane; fit it to the border, whose median over time no passing object disturbs.
    ys, xs = torch.meshgrid(torch.linspace(-1, 1, tall), torch.linspace(-1, 1, wide), indexing="ij")
    basis = torch.stack([torch.ones_like(xs), xs, ys], -1)
    still = clip.median(1).values[:, border]
    plane = (basis @ torch.linalg.lstsq(basis[border], still.T).solution).permute(2, 0, 1)[:, None]
    # Shadows lie on the way from the background to black: the nearest point of that way, from 0.55 on.
    along = ((clip * plane).sum(0) / plane.square().sum(0).clamp(min=1)).clamp(0.55, 1.1)
    ground = (clip - along * plane).square().sum(0)
    far = torch.stack([(clip - c[:, None, None, None]).square().sum(0) for c in COLOURS])
    near, kind = far.min(0)
    found = (near < ground) & (ground > 45**2)
    if not found.any():
        return -1, background, found
    middle = clip[:, found].median(1).values
    votes = torch.bincount(kind[found], minlength=len(COLOURS))
    colour = int(votes.argmax())
    like = (kind == colour) & found
    middle = clip[:, like].median(1).values
    mask = ((clip - middle[:, None, None, None]).square().sum(0) < ground) & (ground > 30**2)
    return colour, background, mask


def _shape(mask: torch.Tensor) -> int:
    """The shape of a mask [H, W]: a hole makes a ring, else the outline's strongest ripple counts the corners."""
    points = mask.nonzero().float()
    centre = points.mean(0)
    offset = points - centre
    radius = offset.square().sum(1).sqrt()
    size = math.sqrt(len(points) / math.pi)
    inner = radius < 0.3 * size
    if inner.sum() < 0.5 * math.pi * (0.3 * size) ** 2:
        return words.SHAPES.index("ring")
    sectors = 48
    angle = torch.atan2(offset[:, 0], offset[:, 1])
    which = ((angle / (2 * math.pi) + 0.5) * sectors).long().clamp(0, sectors - 1)
    outline = torch.zeros(sectors).scatter_reduce(0, which, radius, "amax")
    ripple = torch.fft.rfft(outline / outline.mean()).abs() / sectors
    corners = {3: "triangle", 4: "square", 5: "star"}
    most = max(corners, key=lambda k: float(ripple[k]))
    return words.SHAPES.index(corners[most] if ripple[most] > 0.03 else "circle")


def _motion(paths: torch.Tensor) -> int:
    """The motion of paths [T, 3]: x, y, radius in half widths."""
    x, y, r = paths.unbind(1)
    swell = float((r[-3:].mean() / r[:3].mean().clamp(min=1e-3)).log())
    if abs(swell) > 0.25:
        return scenes.GROWING if swell > 0 else scenes.SHRINKING
    span_x, span_y = float(x.max() - x.min()), float(y.max() - y.min())
    if max(span_x, span_y) < 0.15:
        return scenes.STILL
    if min(span_x, span_y) > 0.25 and min(span_x, span_y) > 0.35 * max(span_x, span_y):
        return scenes.CIRCLING
    if span_x > span_y:
        return scenes.RIGHT if x[-1] > x[0] else scenes.LEFT
    if abs(float(y[-1] - y[0])) > 0.75 * float(y.diff().abs().sum()):
        return scenes.DOWN if y[-1] > y[0] else scenes.UP
    return scenes.BOUNCING


def measure(clip: torch.Tensor) -> dict[str, int]:
    """The attributes (indices into the tables of `words`, -1 for none seen) of a clip [3, T, H, W] in -1..1."""
    colour, background, mask = _mask((clip.float().cpu().clamp(-1, 1) + 1) * 127.5)
    paths, votes = [], torch.zeros(len(words.SHAPES))
    for frame in mask:
        points = frame.nonzero().float()
        if len(points) < 30:
            continue
        half = frame.shape[0] / 2
        centre = points.mean(0) / half - 1
        paths.append(torch.tensor([centre[1], centre[0], math.sqrt(len(points) / math.pi) / half]))
        votes[_shape(frame)] += 1
    seen = len(paths) >= 9
    return {
        "colour": colour,
        "background": background,
        "shape": int(votes.argmax()) if seen else -1,
        "motion": _motion(torch.stack(paths)) if seen else -1,
    }


def score(clips: torch.Tensor, wanted: scenes.Scenes) -> dict[str, float]:
    """Shares of clips that show what single-object scenes want, by attribute and all together."""
    right = {name: [] for name in ATTRIBUTES}
    for row, clip in enumerate(clips):
        seen = measure(clip)
        truth = {"colour": wanted.colour[row, 0], "background": wanted.background[row],
                 "shape": wanted.shape[row, 0], "motion": wanted.motion[row, 0]}  # fmt: skip
        for name in ATTRIBUTES:
            right[name].append(float(seen[name] == int(truth[name])))
    shares = {name: sum(values) / len(values) for name, values in right.items()}
    together = [min(values) for values in zip(*right.values())]
    return {**shares, "all": sum(together) / len(together)}
