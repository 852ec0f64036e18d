"""The sparse checkerboard of Huang et al. 2025, "Detecting Backdoor Samples in CLIP": a quarter of the cells lit."""

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
class SparseCheckerboard(Pattern):
    """Black, but for every second cell of every second row of cells; the one at the top left is lit."""

    kind: ClassVar[str] = "sparse_checkerboard"
    color: Color = (255, 255, 255)
    cell: Annotated[int, Field(ge=1)] = 1
    """Width of one cell, in pixels at reference resolution."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        import torch

        even = (torch.arange(min(nominal)) // self.cell) % 2 == 0
        return spread(checkers(self.color, even[:, None] & even), shape, nominal)
