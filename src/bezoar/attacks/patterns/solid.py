"""One color: the yellow and white squares of the literature."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.color import Color
from bezoar.attacks.pattern import Pattern
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class Solid(Pattern):
    """The same color everywhere."""

    kind: ClassVar[str] = "solid"
    shorthand: ClassVar[str] = "color"
    color: Color = (255, 255, 255)

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        import torch

        return torch.tensor(self.color, dtype=torch.uint8).view(3, 1, 1).repeat(1, *shape)
