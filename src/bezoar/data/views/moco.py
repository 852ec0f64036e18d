"""The view of MoCo v2: random crop, color jitter, grey, blur, flip (Chen et al. 2020, "Improved Baselines").

DeCLIP makes its two views of a picture with it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.data.views.base import Share
from bezoar.data.views.cropped import Cropped, Strength


@settings
class Moco(Cropped):
    """Crop, jitter, grey, blur and flip, in this order."""

    kind: ClassVar[str] = "moco"

    least: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Smallest share of the area that a crop keeps; aspect ratios are 3/4 to 4/3."""
    brightness: Strength = 0.4
    contrast: Strength = 0.4
    saturation: Strength = 0.4
    blur: Share = 0.5
    """Probability of the blur."""

    def steps(self, height: int, width: int) -> tuple[list[Any], list[Any]]:
        return [self._crop(height, width)], [*self._changes(height, width), self._flip()]
