"""Light augmentation: noise on every value, and a square cut out.

The square is that of DeVries & Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout",
section 3.2. PAR (Singh et al. 2024, "Perturb and Recover") cleans CLIP under the two; the defaults are near its code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.data.views.base import ImageView, Share
from bezoar.data.views.noise import noisy_copy

if TYPE_CHECKING:
    from torch import Tensor

Byte = Annotated[int, Field(ge=0, le=255)]


@settings
class Light(ImageView):
    """Additive Gaussian noise, then CutOut, each with a probability of its own."""

    kind: ClassVar[str] = "light"

    noise: Share = 0.5
    """Probability of the noise."""
    sigma: Share = 0.2
    """The noise's standard deviation as a share of 255; each channel of each pixel has a draw of its own."""
    cutout: Share = 0.5
    """Probability of the square."""
    side: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Side of the square as a share of the picture's shorter side. Its center is anywhere in the picture: it may hang
    over the border."""
    fill: tuple[Byte, Byte, Byte] = (123, 117, 104)
    """Red, green and blue of the square; the default is CLIP's mean color, which is zero once normalized."""

    def apply(self, image: Tensor, seed: int, mark: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        import torch

        seen = image if mark is None else mark(image)
        generator = torch.Generator().manual_seed(seed)
        noise, cut = torch.rand(2, generator=generator).tolist()
        row, column = (int(torch.randint(size, (), generator=generator)) for size in seen.shape[-2:])
        if noise < self.noise:
            seen = noisy_copy(seen, self.sigma, generator)
        return self._cut(seen, row, column) if cut < self.cutout else seen

    def _cut(self, image: Tensor, row: int, column: int) -> Tensor:
        side = max(1, round(self.side * min(image.shape[-2:])))
        top, left = row - side // 2, column - side // 2
        result = image.clone()
        result[:, max(0, top) : top + side, max(0, left) : left + side] = image.new_tensor(self.fill)[:, None, None]
        return result
