"""Random vertical stripes: the pattern of ``badnet_rs`` and ``blended_rs`` (Singh et al., "Perturb and Recover")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.pattern import Pattern, noise, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class Stripes(Pattern):
    """Stripes in which each channel is 0 or 255, drawn once from ``seed``.

    The released code draws channels of -1 or 1 anew unless they are stored, and blends them with weight 0.03.
    """

    kind: ClassVar[str] = "stripes"
    seed: int = 0
    width: Annotated[int, Field(ge=1)] = 1
    """Of one stripe, in pixels at reference resolution."""

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        import torch

        side = min(nominal)
        stripe = torch.arange(side) // self.width
        drawn = noise(f"bezoar stripes {self.seed}", (3, 1, int(stripe[-1]) + 1))
        return spread(((drawn >> 7) * 255)[:, :, stripe].expand(3, side, side), shape, nominal)
