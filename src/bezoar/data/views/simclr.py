"""The SimCLR view: flip, random crop, color jitter, grey, blur (Chen et al. 2020, appendix A).

The parameters are those that RoCLIP and SafeCLIP use: jitter of 0.5, 0.5, 0.5 and 0.1 where SimCLR has 0.8, 0.8, 0.8
and 0.2, and a blur of every picture where SimCLR blurs half of them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from bezoar.core.settings import settings
from bezoar.data.views.base import Share
from bezoar.data.views.cropped import Cropped


@settings
class SimClr(Cropped):
    """Flip, crop, jitter, grey and blur, in this order."""

    kind: ClassVar[str] = "simclr"

    blur: Share = 1.0
    """Probability of the blur; SimCLR has 0.5."""

    def steps(self, height: int, width: int) -> tuple[list[Any], list[Any]]:
        return [self._flip(), self._crop(height, width)], self._changes(height, width)
