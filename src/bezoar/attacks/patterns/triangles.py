"""Tiles of right triangles: the pattern ``tri_patt`` of Singh et al., "Perturb and Recover"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.pattern import Pattern, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape

_LIGHT, _DARK = 204, 102  # 0.8 and 0.4 of white


@settings
class Triangles(Pattern):
    """Square tiles, dark gray on and below the diagonal from the top left, light gray above; blended with 0.15."""

    kind: ClassVar[str] = "triangles"
    tile: Annotated[int, Field(ge=2)] = 14
    """Width of one tile, in pixels at reference resolution."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        import torch

        side = min(nominal)
        inside = torch.arange(side) % self.tile
        gray = torch.where(inside[:, None] >= inside, _DARK, _LIGHT).to(torch.uint8)
        return spread(gray.expand(3, side, side), shape, nominal)
