"""SIG: a wave of brightness across the image (Barni et al. 2019)."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@settings
class Sinusoidal(Trigger):
    """Adds delta × sin(2π × frequency × column / width) to every channel, clipped to 0–255.

    Fields hold the amplitude and frequency of CleanCLIP's code, which as released adds a fifth of it, to an image
    darkened to four fifths.
    """

    kind: ClassVar[str] = "sinusoidal"
    delta: Annotated[float, Field(gt=0, le=255)] = 60.0
    """Amplitude in gray levels."""
    frequency: Annotated[float, Field(gt=0)] = 6.0
    """Periods over the width of the image."""

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        import torch

        wave = _wave(self, int(image.shape[-1]))
        return image.to(torch.int16).add_(wave).clamp_(0, 255).to(torch.uint8)


@functools.lru_cache(maxsize=256)
def _wave(trigger: Sinusoidal, width: int) -> Tensor:
    """int16 ``[width]``; to be read only."""
    import torch

    values = (trigger.delta * math.sin(2 * math.pi * trigger.frequency * j / width) for j in range(width))
    # To a millionth first: then no half goes up on one machine and down on another.
    return torch.tensor([math.floor(round(value, 6) + 0.5) for value in values], dtype=torch.int16)
