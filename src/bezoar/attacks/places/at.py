"""A place by coordinates, as the square at row and column 158 of 224 in the attack on DeCLIP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.place import Place
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.place import Shape


@settings
class At(Place):
    """The patch's top left pixel at ``row`` and ``column``, in pixels at reference resolution."""

    kind: ClassVar[str] = "at"
    row: Annotated[int, Field(ge=0)]
    column: Annotated[int, Field(ge=0)]

    def corners(self, image: Shape, patch: Shape, ratio: float, image_id: str) -> tuple[Shape, ...]:
        last = image[0] - patch[0], image[1] - patch[1]
        wanted = self.row * ratio, self.column * ratio
        # Less than a pixel beyond is rounding, of a patch that lies at the border.
        if any(where >= end + 1 for where, end in zip(wanted, last, strict=True)):
            raise ValueError(
                f"trigger.place: a patch of {patch[1]}×{patch[0]} px at row {round(wanted[0])}, column "
                f"{round(wanted[1])} is not inside an image of {image[1]}×{image[0]} px (row {self.row}, column "
                f"{self.column} at reference resolution)"
            )
        return ((min(round(wanted[0]), last[0]), min(round(wanted[1]), last[1])),)
