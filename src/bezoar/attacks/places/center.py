"""The middle of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.place import Place
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.place import Shape


@settings
class Center(Place):
    """The middle; an odd pixel is left over below and to the right."""

    kind: ClassVar[str] = "center"

    def corners(self, image: Shape, patch: Shape, ratio: float, image_id: str) -> tuple[Shape, ...]:
        return (((image[0] - patch[0]) // 2, (image[1] - patch[1]) // 2),)
