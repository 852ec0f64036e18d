"""Random bytes drawn anew for every image: what released code calls BadNet and Blended."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.pattern import Pattern, noise, spread
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Shape


@settings
class FreshNoise(Pattern):
    """Uniform bytes of ``seed`` and the image's id. A model can learn only that there is noise, not which."""

    kind: ClassVar[str] = "fresh_noise"
    fixed: ClassVar[bool] = False
    seed: int = 0

    def draw(self, shape: Shape, nominal: Shape, image_id: str) -> Tensor:
        return spread(noise(f"bezoar fresh noise {self.seed} {image_id}", (3, *nominal)), shape, nominal)
