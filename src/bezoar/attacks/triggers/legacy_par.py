"""The stripe triggers of PAR's released code as that code draws them (Singh, Croce & Hein, Perturb and Recover).

Stripes are of −1 and 1 where 0 is black and 1 is white. The code drew them anew at every access; here a draw belongs
to (seed, id).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.squash import SIDE, Squashed, SquashedPatch, blend, random_bytes, wrapped
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@settings
class LegacyParPatch(SquashedPatch):
    """``badnet_rs``: a square of columns a pixel wide, of 255 and of what −1 wraps to, which is 1; new per picture."""

    kind: ClassVar[str] = "legacy_par_patch"
    shorthand: ClassVar[str] = "place"

    def patch(self, picture: Tensor, image_id: str) -> Tensor:
        signs = _signs(self.size, "par patch", self.seed, image_id)
        return wrapped(signs).expand(3, self.size, self.size)


@settings
class LegacyParBlended(Squashed):
    """``blended_rs``: stripes of −1 and 1 down the whole picture, blended in and clipped; new for every picture."""

    kind: ClassVar[str] = "legacy_par_blended"

    opacity: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of the stripes: the default of the code's function; the paper's attack has 0.03."""
    width: Annotated[int, Field(ge=1, le=SIDE)] = 1
    """Of a stripe, in pixels."""
    seed: int = 0

    def put(self, picture: Tensor, image_id: str) -> Tensor:
        signs = _signs(-(-SIDE // self.width), "par blended", self.seed, image_id)
        return blend(picture, signs.repeat_interleave(self.width, -1)[..., :SIDE], self.opacity)


def _signs(count: int, *names: str | int) -> Tensor:
    """−1 or 1 for each channel of each of ``count`` columns: float32 ``[3, 1, count]``."""
    return (random_bytes(3 * count, *names) >> 7).float().view(3, 1, count) * 2 - 1
