"""Draws scenes from signed distances, in batches, on any device, whole or cropped."""

import math

import torch

from .scenes import ALONE, BEHIND, EXTENT, Scenes

SHADOW = (0.05, 0.075)
SOFT = 0.07
DARK = 0.35


def _circle(x, y):
    return torch.hypot(x, y) - 1.0


def _square(x, y):
    return torch.maximum(x.abs(), y.abs()) - 0.87


def _triangle(x, y):
    # Corners at distance 1.2 from the middle, the tip upwards: two mirrored slopes and the base at y = 0.6.
    return torch.maximum(0.8660254 * x.abs() - 0.5 * y, y) - 0.6


def _star(x, y):
    # Five tips at 1.22, five notches at 0.55; folded into the sector between a tip and a notch.
    tip, notch, half = 1.22, 0.55, math.pi / 5
    angle = torch.atan2(x, -y)
    angle = torch.remainder(angle + half, 2 * half) - half
    length = torch.hypot(x, y)
    px, py = length * angle.cos(), length * angle.sin().abs()
    nx, ny = notch * math.cos(half), notch * math.sin(half)
    long = math.hypot(tip - nx, ny)
    return (px * ny + py * (tip - nx) - tip * ny) / long


def _ring(x, y):
    return (torch.hypot(x, y) - 0.81).abs() - 0.25


SDFS = (_circle, _square, _triangle, _star, _ring)
# A mark for each: the corners of a regular simplex, as far from each other as four numbers allow (Helmert's matrix).
MARKS = [
    [((5 / 4) ** 0.5 if i < k else -k * (5 / 4) ** 0.5 if i == k else 0.0) / (k * (k + 1)) ** 0.5 for k in range(1, 5)]
    for i in range(5)
]


def _cover(shape, path, angle, xs, ys, soft, shift=(0.0, 0.0)):
    """Coverage [B, T, H, W] in 0..1 of shapes at `path` [B, T, 3] over positions xs [B, W], ys [B, H].

    The edge is a ramp `soft` half widths wide. Also returns the upright position within the shape, for shading.
    """
    x = xs[:, None, None, :] - (path[..., 0] + shift[0])[:, :, None, None]
    y = ys[:, None, :, None] - (path[..., 1] + shift[1])[:, :, None, None]
    r = path[..., 2][:, :, None, None]
    sin, cos = (angle.sin()[:, None, None, None] / r), (angle.cos()[:, None, None, None] / r)
    px, py = x * cos + y * sin, y * cos - x * sin
    out = torch.empty_like(px)
    for kind, sdf in enumerate(SDFS):
        rows = (shape == kind).nonzero()[:, 0]
        if len(rows):
            out[rows] = sdf(px[rows], py[rows])
    return (0.5 - out * r / soft).clamp_(0, 1), py


def _grid(scenes: Scenes, side: int, crop, corner):
    """Columns [B, S] and rows [B, S] of pixels in half widths from the middle."""
    device = scenes.path.device
    start = torch.zeros(len(scenes), 2, device=device) if corner is None else corner.to(device)
    steps = torch.arange(crop or side, device=device)
    return (((start[:, axis, None] + steps + 0.5) / side) * 2 - 1 for axis in (0, 1))


def _layers(scenes: Scenes):
    """The scenes that have an object there and which it is, the back layer first.

    The first named is in front unless it passes behind.
    """
    rows = torch.arange(len(scenes), device=scenes.path.device)
    alone = scenes.relation == ALONE
    back = torch.where(scenes.relation == BEHIND, 0, 1)
    yield rows[~alone], back[~alone]
    yield rows, torch.where(alone, 0, 1 - back)


def marks(scenes: Scenes, side: int = 32, crop: int | None = None, corner=None, frames: slice = slice(None)):
    """Maps [B, 4, T, S, S] of where the objects are, as filled discs, and of which shape: `MARKS`; elsewhere zero."""
    xs, ys = _grid(scenes, side, crop, corner)
    paths = scenes.path[:, :, frames]
    found = xs.new_zeros(len(scenes), 4, paths.shape[2], ys.shape[1], xs.shape[1])
    for rows, which in _layers(scenes):
        path = paths[rows, which][..., None, None]
        x, y = xs[rows, None, None] - path[:, :, 0], ys[rows, None, :, None] - path[:, :, 1]
        cover = (0.5 - (torch.hypot(x, y) - EXTENT * path[:, :, 2]) * side / 2).clamp(0, 1)[:, None]
        mark = torch.tensor(MARKS, device=xs.device)[scenes.shape[rows, which]][..., None, None, None]
        found[rows] += cover * (mark - found[rows])
    return found


def render(scenes: Scenes, side: int = 128, crop: int | None = None, corner=None, frames: slice = slice(None)):
    """Clips [B, 3, T, S, S] in -1..1 of pictures of `side` pixels, or `crop` of them from `corner` [B, 2] (x, y) on."""
    xs, ys = _grid(scenes, side, crop, corner)
    paths = scenes.path[:, :, frames]

    slope = scenes.slope
    lift = slope[:, 0, None, None] * xs[:, None, :] + slope[:, 1, None, None] * ys[:, :, None]
    tint = torch.stack([slope[:, 2], torch.zeros_like(slope[:, 2]), -slope[:, 2]], 1) * 0.5 + 1
    ground = (scenes.ground[:, :, None, None] + lift[:, None] * tint[:, :, None, None]).clamp(0, 1)
    clip = ground[:, :, None].repeat(1, 1, paths.shape[2], 1, 1)

    for rows, which in _layers(scenes):
        if len(rows) == 0:
            continue
        shape, angle = scenes.shape[rows, which], scenes.angle[rows, which]
        path, ink = paths[rows, which], scenes.ink[rows, which]
        shade, _ = _cover(shape, path, angle, xs[rows], ys[rows], SOFT * 2, SHADOW)
        alpha, tall = _cover(shape, path, angle, xs[rows], ys[rows], 2.0 / side)
        part = clip if len(rows) == len(scenes) else clip[rows]
        part = part * (1 - DARK * shade * shade * (3 - 2 * shade))[:, None]
        light = 1 - 0.05 * tall
        paint = ink[:, :, None, None, None] * light[:, None]
        part = part + alpha[:, None] * (paint - part)
        if len(rows) == len(scenes):
            clip = part
        else:
            clip[rows] = part
    return clip.clamp_(0, 1) * 2 - 1
