"""Scenes as pictures: backgrounds and textures in NumPy, outlines with Pillow."""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bezoar.data.scenes.grammar import COLORS, Item, Scene
from bezoar.data.scenes.shapes import SHAPES

Pixels = NDArray[np.uint8]
Color = tuple[int, int, int]


def _shade(color: tuple[float, ...], shade: float) -> Color:
    """Darken below 1, move towards white above 1."""
    if shade <= 1:
        return (int(color[0] * shade), int(color[1] * shade), int(color[2] * shade))
    white = (shade - 1) * 255
    return tuple(int(c * (2 - shade) + white) for c in color)  # type: ignore[return-value]


def _jitter(color: Color, rng: random.Random) -> tuple[float, ...]:
    return tuple(min(255.0, max(0.0, c + rng.uniform(-18, 18))) for c in color)


def _waves(width: int, height: int, period: float, angle: float) -> NDArray[np.bool_]:
    """Diagonal bands, true on every other half period."""
    x = np.arange(width, dtype=np.float32) * (math.cos(angle) * 2 / period)
    y = np.arange(height, dtype=np.float32) * (math.sin(angle) * 2 / period)
    return (np.floor(x[None, :] + y[:, None]).astype(np.int32) & 1).astype(bool)


def _spots(width: int, height: int, period: float) -> NDArray[np.bool_]:
    x = (np.arange(width, dtype=np.float32) / period) % 1 - 0.5
    y = (np.arange(height, dtype=np.float32) / period) % 1 - 0.5
    return x[None, :] ** 2 + y[:, None] ** 2 < 0.09


def _background(scene: Scene, width: int, height: int, rng: random.Random) -> Pixels:
    base = np.array(_jitter(COLORS[scene.backdrop], rng), dtype=np.float32)
    other = base * 0.72 if base.mean() > 90 else base * 0.6 + 80
    period = height * rng.uniform(0.22, 0.4)
    if scene.background == "graded":
        ramp = np.linspace(0, 1, width if rng.random() < 0.5 else height, dtype=np.float32)
        mix = np.broadcast_to(ramp[None, :] if ramp.size == width else ramp[:, None], (height, width))
    elif scene.background == "striped":
        mix = _waves(width, height, period, rng.uniform(0, math.pi)).astype(np.float32)
    elif scene.background == "checkered":
        mix = (_waves(width, height, period, 0) ^ _waves(width, height, period, math.pi / 2)).astype(np.float32)
    elif scene.background == "spotted":
        mix = _spots(width, height, period).astype(np.float32)
    elif scene.background == "grainy":
        noise = np.random.default_rng(rng.getrandbits(32)).random((height, width), dtype=np.float32)
        mix = noise * 1.2 - 0.1
    else:
        mix = np.zeros((height, width), np.float32)
    return np.clip(base + mix[..., None] * (other - base), 0, 255).astype(np.uint8)


def _place(item: Item, width: int, height: int) -> tuple[float, float, float, float, float]:
    """The affine map of the unit square into the picture: cosine, sine, scale and center, in pixels."""
    turn = math.radians(item.turn)
    return (
        math.cos(turn) * item.size * height, math.sin(turn) * item.size * height, item.size * height,
        width / 2 + item.x * height, height / 2 + item.y * height,
    )  # fmt: skip


def _draw(canvas: Image.Image, item: Item, rng: random.Random) -> Image.Image:
    cos, sin, scale, x, y = _place(item, canvas.width, canvas.height)
    color = _jitter(COLORS[item.color], rng)
    outlines = [
        ([(x + px * cos - py * sin, y + px * sin + py * cos) for px, py in part.points], part.shade)
        for part in SHAPES[item.kind]
    ]
    pen = ImageDraw.Draw(canvas)
    if item.texture == "plain":
        for points, shade in outlines:
            pen.polygon(points, fill=_shade(color, shade))
        return canvas
    drawn = canvas.copy()
    pen = ImageDraw.Draw(drawn)
    for points, shade in outlines:
        pen.polygon(points, fill=_shade(color, shade))
    mask = Image.new("L", canvas.size)
    stencil = ImageDraw.Draw(mask)
    for points, _ in outlines:
        stencil.polygon(points, fill=255)
    period = max(3.0, scale * (0.45 if item.texture == "striped" else 0.42))
    pattern = (
        _waves(canvas.width, canvas.height, period, rng.uniform(0, math.pi))
        if item.texture == "striped"
        else _spots(canvas.width, canvas.height, period)
    )
    pixels = np.asarray(drawn).copy()
    where = pattern & (np.asarray(mask) > 0)
    strength = 0.7 if sum(color) > 270 else 1.0
    pixels[where] = (pixels[where] * strength + (0 if strength < 1 else 55)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def render(scene: Scene, width: int, height: int, rng: random.Random) -> Pixels:
    """Paint ``scene``; uint8 of shape ``(height, width, 3)``."""
    canvas = Image.fromarray(_background(scene, width, height, rng))
    for item in (scene.second, scene.main):
        if item is not None:
            canvas = _draw(canvas, item, rng)
    return np.asarray(canvas)
