"""Blended: a pattern mixed into the whole image (Chen et al. 2017)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.blend import Alpha, blend
from bezoar.attacks.families import AnyPattern
from bezoar.attacks.patterns.noise import Noise
from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor


@settings
class Blended(Trigger):
    """(1 - alpha) × image + alpha × pattern, wherever the pattern covers the image.

    Fields hold CleanCLIP's values; its released code drew fresh noise for every image, here the pattern is fixed by
    its seed. "Perturb and Recover" blends stripes with 0.03, triangles with 0.15 and the watermark with 0.5.
    """

    kind: ClassVar[str] = "blended"
    shorthand: ClassVar[str] = "pattern"
    pattern: AnyPattern = Noise()
    alpha: Alpha = 0.2
    """Weight of the pattern."""
    reference: Annotated[int, Field(ge=1)] = 224
    """Shorter side of the image, in pixels, at which one pixel of the pattern is one of the image."""

    def tensors(self) -> dict[str, Tensor]:
        if not self.pattern.fixed:
            return self.pattern.tensors()
        nominal = self.reference, self.reference
        return {"blend": self.pattern.draw(nominal, nominal, "").contiguous(), **self.pattern.tensors()}

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        height, width = int(image.shape[-2]), int(image.shape[-1])
        short = min(height, width)
        nominal = round(height * self.reference / short), round(width * self.reference / short)
        return blend(image, self.pattern, self.alpha, nominal, image_id)

    def pinned(self) -> Self:
        return dataclasses.replace(self, pattern=self.pattern.pinned())
