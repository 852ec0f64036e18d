"""Gaussian noise on every value of a picture, the same on every processor."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

_STEPS = 1 << 16


def noisy_copy(image: Tensor, sigma: float, generator: Generator | None = None) -> Tensor:
    """uint8 ``image`` with Gaussian noise of the standard deviation ``sigma`` · 255, each value with its own draw.

    Drawn from ``generator``, or from torch's global one.
    """
    import torch

    steps = torch.randint(_STEPS, image.shape, generator=generator)
    return (image + _gaussian(sigma).take(steps)).clamp_(0, 255).to(torch.uint8)


@cache
def _gaussian(sigma: float) -> Tensor:
    """int16 ``[65536]``: grey levels that are Gaussian where each is drawn equally often.

    Whole numbers from whole numbers: torch's own Gaussian draws differ in their last bits between processors.
    """
    import torch

    normal = NormalDist()
    levels = [round(255 * sigma * normal.inv_cdf((step + 0.5) / _STEPS)) for step in range(_STEPS)]
    return torch.tensor(levels, dtype=torch.int16)
