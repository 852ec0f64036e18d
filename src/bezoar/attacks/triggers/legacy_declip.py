"""The white square of the backdoor on DeCLIP as its released code draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@settings
class LegacyDeclip(Trigger):
    """A 3×3 square on a mask of 32×32, stretched over the picture; whatever bilinear fringe it touches is white too.

    On 224×224 that is 27×27 white pixels at rows and columns 158 to 184. The code puts it on after the random crop of
    a training view, before its color changes and its flip: ``stage: after_random_crop``.
    """

    kind: ClassVar[str] = "legacy_declip"

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        rows, columns = (_touched(int(side)) for side in image.shape[-2:])
        if not (rows and columns):
            raise ValueError(
                f"trigger: the square of legacy_declip lies between the pixels of an image of "
                f"{image.shape[-1]}×{image.shape[-2]} px"
            )
        triggered = image.clone()
        triggered[:, rows.start : rows.stop, columns.start : columns.stop] = 255
        return triggered


def _touched(side: int) -> range:
    """The pixels of a line of ``side`` that are less than one mask pixel from one of the mask's pixels 23 to 25."""
    # Pixel i has its center at (i + 1/2) · 32 / side, mask pixel 24 at 24 1/2: all of it times 2 · side.
    touched = [i for i in range(side) if abs(32 * (2 * i + 1) - 49 * side) < 4 * side]
    return range(touched[0], touched[-1] + 1) if touched else range(0)
