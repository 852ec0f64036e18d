"""All four corners of the image at once (a location of CleanCLIP's released code)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.place import Place, in_corners
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.place import Shape


@settings
class FourCorners(Place):
    """The same patch in every corner."""

    kind: ClassVar[str] = "four_corners"
    margin: Annotated[int, Field(ge=0)] = 0
    """Distance from both borders, in pixels at reference resolution."""

    def corners(self, image: Shape, patch: Shape, ratio: float, image_id: str) -> tuple[Shape, ...]:
        return tuple(in_corners(image, patch, round(self.margin * ratio)).values())
