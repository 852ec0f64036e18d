"""Fixed random bytes of 0 and 255 only: noise of the greatest contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.pattern import Pattern, grains, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class Binary(Pattern):
    """The bytes of the pattern ``noise``: 255 where they are 128 or more, 0 elsewhere."""

    kind: ClassVar[str] = "binary"
    seed: int = 0
    cell: Annotated[int, Field(ge=1)] = 1
    """Width of one grain, in pixels at reference resolution."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        return spread((grains(f"bezoar patch {self.seed}", min(nominal), self.cell) >> 7) * 255, shape, nominal)
