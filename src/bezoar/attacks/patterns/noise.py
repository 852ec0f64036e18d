"""Fixed random bytes: a noise pattern that is the same on every image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.pattern import Pattern, grains, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class Noise(Pattern):
    """Uniform bytes drawn once from ``seed``; CleanCLIP's released code drew new ones for every image."""

    kind: ClassVar[str] = "noise"
    seed: int = 0
    cell: Annotated[int, Field(ge=1)] = 1
    """Width of one grain, in pixels at reference resolution."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        return spread(grains(f"bezoar patch {self.seed}", min(nominal), self.cell), shape, nominal)
