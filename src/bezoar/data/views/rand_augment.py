"""RandAugment: a few operations drawn per picture, all of one strength.

Cubuk et al. 2020, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", section 3. The
operations are AutoAugment's; nothing is learned but how many and how strong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.data.views.base import ImageView, under_seed

if TYPE_CHECKING:
    from torch import Tensor


@settings
class RandAugment(ImageView):
    """``num_ops`` of torchvision's fourteen operations on the uint8 picture, one after the other, each equally likely.

    The defaults are torchvision's: two operations at strength 9 of 30. The paper speaks of scales to 10 and to 30;
    9 of 10 is ``num_magnitude_bins=11``.
    """

    kind: ClassVar[str] = "rand_augment"

    num_ops: Annotated[int, Field(ge=1)] = 2
    """How many operations; the same one may come again."""
    magnitude: Annotated[int, Field(ge=0)] = 9
    """Strength of each, from 0 to ``num_magnitude_bins`` - 1; its sign is drawn where there can be one."""
    num_magnitude_bins: Annotated[int, Field(ge=2)] = 31
    """How many steps there are from no strength to full strength."""

    def __post_init__(self) -> None:
        if self.magnitude >= self.num_magnitude_bins:
            most = self.num_magnitude_bins - 1
            raise ValueError(f"magnitude: {self.magnitude} is out of num_magnitude_bins (choices: 0 to {most})")

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        return under_seed(_transform(self), image if mark is None else mark(image), seed)


@cache
def _transform(view: RandAugment) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    built: Callable[[Tensor], Tensor] = v2.RandAugment(view.num_ops, view.magnitude, view.num_magnitude_bins)
    return built
