"""BadNets: a small square pasted on the image (Gu et al. 2017; on CLIP: Carlini & Terzis 2022)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.blend import Alpha, blend
from bezoar.attacks.families import AnyPattern, AnyPlace
from bezoar.attacks.patterns.noise import Noise
from bezoar.attacks.places.random import Random
from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


@settings
class Patch(Trigger):
    """A square of ``size`` pixels at ``reference`` resolution, scaled with the image's shorter side.

    Fields hold CleanCLIP's values (16 of 224 px at a random place); its released code drew a fresh noise patch for
    every image, here the pattern is fixed by its seed.
    """

    kind: ClassVar[str] = "patch"
    shorthand: ClassVar[str] = "pattern"
    size: Annotated[int, Field(ge=1)] = 16
    reference: Annotated[int, Field(ge=1)] | None = 224
    """Shorter side of the image, in pixels, at which the square is ``size`` pixels wide; ``None``: it is of ``size``
    pixels of every picture as it is."""
    pattern: AnyPattern = Noise()
    place: AnyPlace = Random()
    opacity: Alpha = 1.0
    """Weight of the pattern; below 1 the image shows through."""

    def tensors(self) -> dict[str, Tensor]:
        if not self.pattern.fixed:
            return self.pattern.tensors()
        nominal = self.size, self.size
        return {"patch": self.pattern.draw(nominal, nominal, "").contiguous(), **self.pattern.tensors()}

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        height, width = int(image.shape[-2]), int(image.shape[-1])
        ratio = min(height, width) / self.reference if self.reference else 1.0
        side = max(1, round(self.size * ratio))
        if side > min(height, width):
            at = f" at reference {self.reference}" if self.reference else ", no reference"
            raise ValueError(
                f"trigger.size: a patch of {side} px does not fit an image of {width}×{height} px "
                f"(size {self.size}{at})"
            )
        triggered = image.clone()
        for row, column in self.place.corners((height, width), (side, side), ratio, image_id):
            area = triggered[:, row : row + side, column : column + side]
            area.copy_(blend(area, self.pattern, self.opacity, (self.size, self.size), image_id))
        return triggered

    def pinned(self) -> Self:
        return dataclasses.replace(self, pattern=self.pattern.pinned())
