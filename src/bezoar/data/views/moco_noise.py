"""The augmentation of the defense of backdoored DeCLIP: MoCo v2's view, with noise on large crops.

A crop that keeps most of the picture is likely to show a trigger whole; noise may hide it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.data.views.base import Share
from bezoar.data.views.moco import Moco
from bezoar.data.views.noise import noisy_copy

if TYPE_CHECKING:
    from torch import Tensor

Sigma = Annotated[float, Field(gt=0, le=1)]


@settings
class MocoNoise(Moco):
    """MoCo v2's view; a crop of more than ``noise_from`` of the picture's area may get Gaussian noise."""

    kind: ClassVar[str] = "moco_noise"

    noise: Share = 0.3
    """Probability of the noise, of such a crop."""
    noise_from: Share = 0.6
    """Share of the area above which a crop is such a one."""
    sigmas: Annotated[tuple[Sigma, ...], Field(min_length=1)] = (0.08, 0.12)
    """The noise's standard deviation as a share of 255, one of these: the first two severities of Hendrycks &
    Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions"."""

    def steps(self, height: int, width: int) -> tuple[list[Any], list[Any]]:
        crop = _Crop(self, height, width)
        return [crop], [crop.noise, *self._changes(height, width), self._flip()]


class _Crop:
    """A random crop that remembers how much it has kept, until the noise has asked."""

    def __init__(self, view: MocoNoise, height: int, width: int) -> None:
        self.view, self.size, self.area = view, (height, width), 0.0

    def __call__(self, image: Tensor) -> Tensor:
        import torch
        from torchvision.transforms import v2

        self.area = float(torch.empty(()).uniform_(self.view.least, 1.0))
        cut: Tensor = v2.RandomResizedCrop(self.size, scale=(self.area, self.area), antialias=True)(image)
        return cut

    def noise(self, image: Tensor) -> Tensor:
        import torch

        likely, which = torch.rand(2).tolist()
        if self.area <= self.view.noise_from or likely >= self.view.noise:
            return image
        return noisy_copy(image, self.view.sigmas[int(which * len(self.view.sigmas))])
