"""What the views with a random crop share: their fields, and the torchvision transforms made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.data.views.base import ImageView, Share, under_seed

if TYPE_CHECKING:
    from torch import Tensor

    _Transform = Callable[[Tensor], Tensor]

Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@settings
class Cropped(ImageView):
    """Flip, random crop, color jitter, grey and blur, in an order that members choose. The blur is given at
    ``reference`` px and scaled with the picture: at 32 px hardly anything is left of it.
    """

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
    """Probability of the blur."""
    kernel: Annotated[int, Field(ge=1)] = 21
    """Width of the blur's kernel at ``reference`` px."""
    sigma_low: Annotated[float, Field(gt=0)] = 0.1
    sigma_high: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    """The blur's standard deviation is drawn between these, in px at ``reference`` px."""
    reference: Annotated[int, Field(ge=1)] = 224

    def __post_init__(self) -> None:
        if self.sigma_low > self.sigma_high:
            raise ValueError(f"sigma_low: {self.sigma_low:g} is more than sigma_high, {self.sigma_high:g}")

    def steps(self, height: int, width: int) -> tuple[list[Any], list[Any]]:
        """The transforms of a picture of this size: up to its crop, and after."""
        raise NotImplementedError

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        whole, to_crop, rest = _transforms(self, image.shape[-2], image.shape[-1])
        return under_seed(whole if mark is None else lambda seen: rest(mark(to_crop(seen))), image, seed)

    def _flip(self) -> Any:
        from torchvision.transforms import v2

        return v2.RandomHorizontalFlip(self.flip)

    def _crop(self, height: int, width: int) -> Any:
        from torchvision.transforms import v2

        return v2.RandomResizedCrop((height, width), scale=(self.least, 1.0), antialias=True)

    def _changes(self, height: int, width: int) -> list[Any]:
        """Jitter, grey and blur."""
        from torchvision.transforms import v2

        scale = min(height, width) / self.reference
        kernel = max(1, round(self.kernel * scale)) // 2 * 2 + 1
        sigma = [self.sigma_low * scale, self.sigma_high * scale]
        jitter = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return [
            v2.RandomApply([jitter], self.jitter),
            v2.RandomGrayscale(self.grey),
            v2.RandomApply([v2.GaussianBlur(kernel, sigma)], self.blur),
        ]


@cache
def _transforms(view: Cropped, height: int, width: int) -> tuple[_Transform, _Transform, _Transform]:
    """All of a view, and its two halves."""
    from torchvision.transforms import v2

    to_crop, rest = view.steps(height, width)
    return v2.Compose([*to_crop, *rest]), v2.Compose(to_crop), v2.Compose(rest)
