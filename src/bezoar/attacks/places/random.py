"""A place drawn anew for each image, from the whole of it (Carlini & Terzis 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.place import Place
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.place import Shape


@settings
class Random(Place):
    """Every position inside the image is equally likely; one for each image id, drawn from ``seed``.

    CleanCLIP's released code never draws the last row and column.
    """

    kind: ClassVar[str] = "random"
    seed: int = 0

    def corners(self, image: Shape, patch: Shape, ratio: float, image_id: str) -> tuple[Shape, ...]:
        rng = python_random(self.seed, "patch place", image_id)
        return ((rng.randint(0, image[0] - patch[0]), rng.randint(0, image[1] - patch[1])),)
