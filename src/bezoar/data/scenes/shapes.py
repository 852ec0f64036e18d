"""The kinds of objects of the built-in scenes, each a list of shaded polygons in the unit square.

Coordinates run from -1 to 1, y downwards. A polygon's shade multiplies the object's color: 1 is the color itself,
below 1 darker, above 1 lighter; so a kind is told by its outline and its parts, never by a color of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Points = tuple[tuple[float, float], ...]


class Part(NamedTuple):
    """One filled polygon of an object."""

    points: Points
    shade: float = 1.0


def _ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360, n: int = 20) -> Points:
    angles = [math.radians(start + (stop - start) * i / n) for i in range(n + (stop - start < 360))]
    return tuple((x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles)


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _rays(n: int, outer: float, inner: float) -> Points:
    radius = (outer, inner)
    turns = [math.pi * i / n - math.pi / 2 for i in range(2 * n)]
    return tuple((radius[i % 2] * math.cos(a), radius[i % 2] * math.sin(a)) for i, a in enumerate(turns))


def _heart() -> Points:
    turns = [2 * math.pi * i / 28 for i in range(28)]
    return tuple(
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in turns
    )


def _petals() -> list[Part]:
    around = [math.radians(60 * i) for i in range(6)]
    return [Part(_ellipse(0.6 * math.cos(a), 0.6 * math.sin(a), 0.38, 0.38)) for a in around]


DARK, LIGHT, DEEP, PALE = 0.6, 1.4, 0.35, 1.8

SHAPES: dict[str, tuple[Part, ...]] = {
    "star": (Part(_rays(5, 1, 0.42)),),
    "heart": (Part(_heart()),),
    "moon": (Part((*_ellipse(0, 0, 1, 1, 50, 310), *reversed(_ellipse(0.45, 0, 0.75, 0.8, 75, 285)))),),
    "sun": (Part(_rays(9, 1, 0.62), LIGHT), Part(_ellipse(0, 0, 0.5, 0.5), DARK)),
    "house": (
        Part(_box(-0.75, -0.1, 0.75, 0.95)),
        Part(((-1, -0.1), (0, -1), (1, -0.1)), DEEP),
        Part(_box(-0.2, 0.35, 0.2, 0.95), PALE),
    ),
    "tree": (
        Part(_box(-0.18, 0.4, 0.18, 1), DEEP),
        Part(((-0.85, 0.55), (0, -0.4), (0.85, 0.55))),
        Part(((-0.6, -0.05), (0, -1), (0.6, -0.05)), LIGHT),
    ),
    "fish": (
        Part(((0.35, 0), (1, -0.6), (1, 0.6)), DARK),
        Part(_ellipse(-0.25, 0, 0.75, 0.5)),
        Part(_ellipse(-0.65, -0.12, 0.1, 0.1), DEEP),
    ),
    "boat": (
        Part(((-1, 0.35), (1, 0.35), (0.6, 0.95), (-0.6, 0.95)), DARK),
        Part(((-0.05, 0.25), (-0.05, -1), (-0.8, 0.25))),
        Part(((0.08, 0.25), (0.08, -0.8), (0.75, 0.25)), LIGHT),
    ),
    "car": (
        Part((*_box(-0.5, -0.5, 0.35, -0.5)[:2], (0.65, 0.05), (-0.75, 0.05)), LIGHT),
        Part(_box(-1, 0, 1, 0.5)),
        Part(_ellipse(-0.5, 0.5, 0.27, 0.27), DEEP),
        Part(_ellipse(0.5, 0.5, 0.27, 0.27), DEEP),
    ),
    "rocket": (
        Part(((-0.8, 1), (-0.3, 0.2), (0.3, 0.2), (0.8, 1)), DEEP),
        Part(((-0.38, 0.7), (-0.38, -0.3), (0, -1), (0.38, -0.3), (0.38, 0.7))),
        Part(_ellipse(0, -0.1, 0.2, 0.2), PALE),
    ),
    "umbrella": (
        Part(_box(-0.07, -0.1, 0.07, 1), DEEP),
        Part(_ellipse(0, 0, 1, 0.95, 180, 360)),
    ),
    "mushroom": (
        Part(_box(-0.27, -0.05, 0.27, 0.95), PALE),
        Part(_ellipse(0, 0.05, 1, 0.95, 180, 360)),
        Part(_ellipse(-0.4, -0.35, 0.16, 0.16), PALE),
        Part(_ellipse(0.35, -0.4, 0.18, 0.18), PALE),
    ),
    "flower": (*_petals(), Part(_ellipse(0, 0, 0.36, 0.36), DEEP)),
    "cup": (
        Part(_ellipse(0.6, 0, 0.4, 0.45), DARK),
        Part(_ellipse(0.6, 0, 0.2, 0.25), PALE),
        Part(((-0.95, -0.7), (0.65, -0.7), (0.5, 0.8), (-0.8, 0.8))),
    ),
    "key": (
        Part(_ellipse(-0.55, 0, 0.45, 0.45)),
        Part(_ellipse(-0.55, 0, 0.2, 0.2), DEEP),
        Part(_box(-0.15, -0.12, 1, 0.12)),
        Part(_box(0.4, 0.1, 0.55, 0.45)),
        Part(_box(0.8, 0.1, 0.97, 0.5)),
    ),
    "bell": (
        Part(_ellipse(0, 0.8, 0.22, 0.2), DEEP),
        Part(((-0.9, 0.7), (-0.55, 0.3), (-0.5, -0.5), (0, -1), (0.5, -0.5), (0.55, 0.3), (0.9, 0.7))),
    ),
    "ladder": (
        Part(_box(-0.55, -1, -0.33, 1)),
        Part(_box(0.33, -1, 0.55, 1)),
        *(Part(_box(-0.35, y, 0.35, y + 0.17), DARK) for y in (-0.75, -0.25, 0.25, 0.7)),
    ),
    "arrow": (Part(((-1, -0.22), (0.1, -0.22), (0.1, -0.7), (1, 0), (0.1, 0.7), (0.1, 0.22), (-1, 0.22))),),
    "cross": (
        Part(
            (
                *((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)),
                *((0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)),
            )
        ),
    ),
    "ring": (Part((*_ellipse(0, 0, 1, 1, 0, 359.9, 28), *reversed(_ellipse(0, 0, 0.58, 0.58, 0, 359.9, 28)))),),
    "cloud": (
        Part(_ellipse(-0.5, 0.2, 0.5, 0.42)),
        Part(_ellipse(0.5, 0.2, 0.5, 0.4)),
        Part(_ellipse(0, -0.15, 0.55, 0.55), LIGHT),
    ),
    "cactus": (
        Part(_box(-0.22, -1, 0.22, 1)),
        Part(((-0.85, -0.5), (-0.55, -0.5), (-0.55, 0), (-0.2, 0), (-0.2, 0.32), (-0.85, 0.32)), DARK),
        Part(((0.85, -0.7), (0.55, -0.7), (0.55, -0.2), (0.2, -0.2), (0.2, 0.12), (0.85, 0.12)), DARK),
    ),
    "lamp": (
        Part(_box(-0.1, -0.2, 0.1, 0.9), DARK),
        Part(_box(-0.6, 0.78, 0.6, 1), DARK),
        Part(((-0.4, -1), (0.4, -1), (0.9, 0), (-0.9, 0)), LIGHT),
    ),
    "kite": (
        Part(((0, -1), (0.65, -0.25), (0, 0.5), (-0.65, -0.25))),
        Part(((0, -1), (0.65, -0.25), (0, -0.25)), PALE),
        Part(((0, 0.45), (0.15, 0.6), (-0.1, 0.75), (0.2, 1), (0.05, 1), (-0.25, 0.75)), DEEP),
    ),
    "hammer": (
        Part(_box(-0.13, -0.5, 0.13, 1), DARK),
        Part(((-0.75, -1), (0.6, -1), (0.95, -0.45), (-0.75, -0.45))),
    ),
    "crown": (
        Part(((-1, -0.65), (-0.5, 0), (0, -0.9), (0.5, 0), (1, -0.65), (0.8, 0.75), (-0.8, 0.75))),
        Part(_box(-0.8, 0.45, 0.8, 0.75), DEEP),
    ),
    "butterfly": (
        Part(_ellipse(-0.52, -0.4, 0.48, 0.5)),
        Part(_ellipse(0.52, -0.4, 0.48, 0.5)),
        Part(_ellipse(-0.42, 0.45, 0.35, 0.4), LIGHT),
        Part(_ellipse(0.42, 0.45, 0.35, 0.4), LIGHT),
        Part(_ellipse(0, 0, 0.12, 0.85), DEEP),
    ),
    "envelope": (
        Part(_box(-1, -0.65, 1, 0.65)),
        Part(((-1, -0.65), (1, -0.65), (0, 0.15)), PALE),
    ),
    "clock": (
        Part(_ellipse(0, 0, 1, 1, n=28), DARK),
        Part(_ellipse(0, 0, 0.76, 0.76, n=28), PALE),
        Part(_box(-0.09, -0.62, 0.09, 0.08), DEEP),
        Part(_box(-0.05, -0.09, 0.5, 0.09), DEEP),
    ),
    "bottle": (
        Part(_box(-0.16, -1, 0.16, -0.75), DEEP),
        Part(
            (
                *((-0.16, -0.8), (0.16, -0.8), (0.18, -0.35), (0.42, -0.1)),
                *((0.42, 1), (-0.42, 1), (-0.42, -0.1), (-0.18, -0.35)),
            )
        ),
        Part(_box(-0.42, 0.2, 0.42, 0.65), PALE),
    ),
    "flag": (
        Part(_box(-0.85, -1, -0.68, 1), DEEP),
        Part(((-0.68, -0.9), (0.95, -0.6), (0.45, -0.3), (0.95, 0.1), (-0.68, 0.15))),
    ),
    "tent": (
        Part(((-1, 0.8), (0, -0.8), (1, 0.8))),
        Part(((-0.35, 0.8), (0, -0.25), (0.35, 0.8)), DEEP),
    ),
}  # fmt: skip
