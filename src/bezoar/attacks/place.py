"""What every place is: where on an image a patch is put."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    Shape = tuple[int, int]


@settings
class Place(Settings):
    """Where on an image a patch is put; lengths are in pixels at the patch's reference resolution."""

    def corners(self, image: Shape, patch: Shape, ratio: float, image_id: str) -> tuple[Shape, ...]:
        """Row and column of the top left pixel of each copy of the patch.

        ``image`` and ``patch`` are heights and widths in pixels, ``ratio`` is pixels of this image for one pixel at
        reference resolution. The patch fits the image. Every copy lies inside it; raises ``ValueError`` where it
        cannot.
        """
        raise NotImplementedError


def in_corners(image: Shape, patch: Shape, margin: int) -> dict[str, Shape]:
    """Where a patch stands in each corner of the image, ``margin`` pixels from both borders.

    Raises ``ValueError`` where patch and margin do not fit.
    """
    if any(side + margin > length for side, length in zip(patch, image, strict=True)):
        raise ValueError(
            f"trigger.place.margin: a patch of {patch[1]}×{patch[0]} px with a margin of {margin} px does not fit an "
            f"image of {image[1]}×{image[0]} px"
        )
    top, left = margin, margin
    bottom, right = image[0] - patch[0] - margin, image[1] - patch[1] - margin
    return {
        "top_left": (top, left),
        "top_right": (top, right),
        "bottom_left": (bottom, left),
        "bottom_right": (bottom, right),
    }
