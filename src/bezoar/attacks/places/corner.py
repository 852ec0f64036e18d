"""One corner of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.attacks.place import Place, in_corners
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.place import Shape


@settings
class Corner(Place):
    """A named corner; the bottom right is that of BadNets (Gu et al. 2017)."""

    kind: ClassVar[str] = "corner"
    shorthand: ClassVar[str] = "corner"
    corner: Literal["top_left", "top_right", "bottom_left", "bottom_right"] = "bottom_right"
    margin: Annotated[int, Field(ge=0)] = 0
    """Distance from both borders, in pixels at reference resolution."""

    def corners(self, image: Shape, patch: Shape, ratio: float, image_id: str) -> tuple[Shape, ...]:
        return (in_corners(image, patch, round(self.margin * ratio))[self.corner],)
