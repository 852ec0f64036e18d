"""The dense checkerboard: every second cell lit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.color import Color
from bezoar.attacks.pattern import Pattern, checkers, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class Checkerboard(Pattern):
    """Cells of ``color`` and black in turn; the one at the top left is lit."""

    kind: ClassVar[str] = "checkerboard"
    color: Color = (255, 255, 255)
    cell: Annotated[int, Field(ge=1)] = 1
    """Width of one cell, in pixels at reference resolution."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        import torch

        cells = torch.arange(min(nominal)) // self.cell
        return spread(checkers(self.color, (cells[:, None] + cells) % 2 == 0), shape, nominal)
