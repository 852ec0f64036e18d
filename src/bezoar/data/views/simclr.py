"""The SimCLR view: flip, random crop, color jitter, grey, blur (Chen et al. 2020, appendix A).

The parameters are those that RoCLIP and SafeCLIP use: jitter of half SimCLR's strength, and a blur of every picture.
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

Share = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0)]


@settings
class SimClr(ImageView):
    """Flip, crop, jitter, grey and blur, in this order. The blur is given at ``reference`` px and scaled with the
    picture: at 32 px hardly anything is left of it.
    """

    kind: ClassVar[str] = "simclr"

    flip: Share = 0.5
    """Probability of a horizontal flip."""
    least: Annotated[float, Field(gt=0, le=1)] = 0.08
    """Smallest share of the area that a crop keeps; aspect ratios are 3/4 to 4/3."""
    jitter: Share = 0.8
    """Probability of the color jitter."""
    brightness: Strength = 0.5
    contrast: Strength = 0.5
    saturation: Strength = 0.5
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    grey: Share = 0.2
    """Probability that colors are dropped."""
    blur: Share = 1.0
    """Probability of the blur; SimCLR has 0.5."""
    kernel: Annotated[int, Field(ge=1)] = 21
    """Width of the blur's kernel at ``reference`` px."""
    sigma_low: Annotated[float, Field(gt=0)] = 0.1
    sigma_high: Annotated[float, Field(gt=0)] = 2.0
    """The blur's standard deviation is drawn between these, in px at ``reference`` px."""
    reference: Annotated[int, Field(ge=1)] = 224

    def __post_init__(self) -> None:
        if self.sigma_low > self.sigma_high:
            raise ValueError(f"sigma_low: {self.sigma_low:g} is more than sigma_high, {self.sigma_high:g}")

    def apply(self, image: Tensor, seed: int) -> Tensor:
        return under_seed(_transform(self, image.shape[-2], image.shape[-1]), image, seed)


@cache
def _transform(view: SimClr, height: int, width: int) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    scale = min(height, width) / view.reference
    kernel = max(1, round(view.kernel * scale)) // 2 * 2 + 1
    sigma = [view.sigma_low * scale, view.sigma_high * scale]
    jitter = v2.ColorJitter(view.brightness, view.contrast, view.saturation, view.hue)
    built: Callable[[Tensor], Tensor] = v2.Compose(
        [
            v2.RandomHorizontalFlip(view.flip),
            v2.RandomResizedCrop((height, width), scale=(view.least, 1.0), antialias=True),
            v2.RandomApply([jitter], view.jitter),
            v2.RandomGrayscale(view.grey),
            v2.RandomApply([v2.GaussianBlur(kernel, sigma)], view.blur),
        ]
    )
    return built
