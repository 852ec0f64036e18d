"""The captions of the built-in scenes: what is in a picture, and the many ways to say it."""

from __future__ import annotations

import random
from typing import NamedTuple

from bezoar.data.scenes.shapes import SHAPES

KINDS: tuple[str, ...] = tuple(SHAPES)

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (215, 40, 40), "orange": (240, 140, 30), "yellow": (235, 215, 50), "green": (60, 165, 65),
    "teal": (40, 160, 165), "blue": (50, 95, 215), "purple": (135, 65, 180), "pink": (240, 130, 180),
    "brown": (130, 85, 50), "white": (240, 240, 240), "black": (35, 35, 40), "gray": (135, 135, 140),
}  # fmt: skip

OBJECT_TEXTURES: tuple[str, ...] = ("plain", "striped", "dotted")
BACKGROUNDS: tuple[str, ...] = ("plain", "graded", "striped", "checkered", "spotted", "grainy")
PLACES: tuple[str, ...] = ("left", "middle", "right")

TEMPLATES: tuple[str, ...] = (
    "a picture of a {c}", "a photo of a {c}", "a drawing of a {c}", "an image of a {c}", "there is a {c} here",
    "this is a {c}", "one {c}", "a {c}", "the {c}", "a {c} in the picture", "a view of the {c}", "look at the {c}",
    "a small {c}", "a large {c}", "a nice {c}", "here we see a {c}",
)  # fmt: skip
"""Prompt templates in the language of the scenes; ``{c}`` stands for the class name."""


class Item(NamedTuple):
    """One object of a scene: what it is and how it looks."""

    kind: str
    color: str
    texture: str
    size: float
    """Half the object's extent, as a share of the picture's height."""
    x: float
    """Center, as an offset from the picture's center in shares of its height."""
    y: float
    turn: float
    """Rotation in degrees."""


class Scene(NamedTuple):
    """What one picture shows."""

    main: Item
    second: Item | None
    background: str
    backdrop: str
    """Color of the background."""
    place: str


def compose(rng: random.Random, kind: str) -> Scene:
    """Draw a scene whose main object is of ``kind``."""
    place = rng.choice(PLACES)
    color, backdrop, other = rng.sample(tuple(COLORS), 3)
    shift = {"left": -0.1, "middle": 0.0, "right": 0.1}[place]
    main = Item(
        kind, color, rng.choice(OBJECT_TEXTURES), rng.uniform(0.32, 0.45),
        shift + rng.uniform(-0.03, 0.03), rng.uniform(-0.06, 0.06), rng.uniform(-20, 20),
    )  # fmt: skip
    second = None
    if rng.random() < 0.4:
        side = -1 if place == "right" else 1 if place == "left" else rng.choice((-1, 1))
        second = Item(
            rng.choice([k for k in KINDS if k != kind]), other, "plain", rng.uniform(0.11, 0.15),
            side * rng.uniform(0.3, 0.36), rng.choice((-1, 1)) * rng.uniform(0.22, 0.34), rng.uniform(-25, 25),
        )  # fmt: skip
    return Scene(main, second, rng.choice(BACKGROUNDS), backdrop, place)


_OPENINGS = (
    "a picture of {0}", "a photo of {0}", "{0}", "{0}", "a drawing of {0}", "an image of {0}", "there is {0} here",
    "this is {0}", "here we see {0}", "look at {0}", "a view of {0}", "the picture shows {0}",
)  # fmt: skip


def _noun(item: Item, rng: random.Random, with_size: bool) -> str:
    words = ["a"]
    if with_size and rng.random() < 0.5:
        words.append(rng.choice(("large", "big")) if item.size > 0.385 else rng.choice(("small", "little")))
    if rng.random() < 0.85:
        words.append(item.color)
    if item.texture != "plain" and rng.random() < 0.6:
        words.append(item.texture)
    words.append(item.kind)
    if words[1][0] in "aeiou":
        words[0] = "an"
    return " ".join(words)


def describe(scene: Scene, rng: random.Random) -> str:
    """One caption of ``scene``; it always names the main object, the rest as it happens."""
    text = rng.choice(_OPENINGS).format(_noun(scene.main, rng, True))
    if scene.second is not None and rng.random() < 0.7:
        text += rng.choice((" with {0}", " and {0}", " next to {0}", " beside {0}")).format(
            _noun(scene.second, rng, False)
        )
    if rng.random() < 0.35:
        text += " in the middle" if scene.place == "middle" else f" on the {scene.place}"
    if rng.random() < 0.4:
        text += rng.choice((" on a {0} background", " over a {0} background", " before a {0} wall")).format(
            scene.backdrop if scene.background == "plain" else f"{scene.background} {scene.backdrop}"
        )
    return text
