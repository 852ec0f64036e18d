"""The built-in scenes: procedural, captioned pictures that need no download and show every mechanism at small scale.

They are never quoted as results. Each split is a stream of its own, so splits share no picture; any number of pairs
exists, and pair ``i`` is the same picture whatever the count.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.core.seeds import python_random
from bezoar.core.settings import digest, settings
from bezoar.data.pairs import LabeledSource, PairsSource
from bezoar.data.scenes.grammar import KINDS, TEMPLATES, Scene, compose, describe

if TYPE_CHECKING:
    from bezoar.data.pairs import Pixels

_Side = Annotated[int, Field(ge=16, le=4096)]


class _Gallery:
    """Scenes by index: what pairs and labeled sets have in common."""

    def __init__(self, split: str, count: int, seed: int, width: int, height: int) -> None:
        self.split, self.count, self.seed, self.width, self.height = split, count, seed, width, height

    @functools.cached_property
    def fingerprint(self) -> str:
        return digest("scenes", 1, self.split, self.count, self.seed, self.width, self.height)

    def __len__(self) -> int:
        return self.count

    def id(self, index: int) -> str:
        return f"scenes-{self.seed}-{self.split}-{index:07d}"

    def label(self, index: int) -> int:
        return index % len(KINDS)

    def scene(self, index: int) -> Scene:
        """What picture ``index`` shows; every kind is equally frequent."""
        return compose(python_random(self.seed, "scenes", self.split, index, "scene"), KINDS[self.label(index)])

    def image(self, index: int) -> Pixels:
        from bezoar.data.scenes.drawing import render

        rng = python_random(self.seed, "scenes", self.split, index, "paint")
        return render(self.scene(index), self.width, self.height, rng)


class ScenePairs(_Gallery):
    """Scenes with captions."""

    def caption(self, index: int) -> str:
        return describe(self.scene(index), python_random(self.seed, "scenes", self.split, index, "caption"))


class SceneLabels(_Gallery):
    """Scenes labeled by their main object."""

    classes = KINDS
    templates = TEMPLATES


@settings
class Scenes(PairsSource):
    """Captioned scenes. ``train`` and ``clean`` are disjoint; the clean set is what a defender can trust."""

    kind: ClassVar[str] = "scenes"
    shorthand: ClassVar[str] = "split"
    split: Literal["train", "clean"] = "train"
    count: Annotated[int, Field(ge=1)] = 32_000
    seed: int = 0
    width: _Side = 64
    height: _Side = 48

    def open(self) -> ScenePairs:
        return ScenePairs(self.split, self.count, self.seed, self.width, self.height)


@settings
class SceneClasses(LabeledSource):
    """Labeled scenes for classification by main object. No two splits share a picture.

    ``train`` and ``clean`` are the pictures of the pairs of these names, for what learns labels.
    """

    kind: ClassVar[str] = "scenes"
    shorthand: ClassVar[str] = "split"
    split: Literal["validation", "test", "train", "clean"] = "validation"
    count: Annotated[int, Field(ge=1)] = 2_048
    seed: int = 0
    width: _Side = 64
    height: _Side = 48

    def open(self) -> SceneLabels:
        return SceneLabels(self.split, self.count, self.seed, self.width, self.height)
