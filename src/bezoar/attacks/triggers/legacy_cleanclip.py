"""The triggers of CleanCLIP's released code as that code draws them (Bansal et al. 2023; forked by many).

They differ from what the papers describe: use them to compare with published numbers. The code was unseeded and drew
anew at every access; here a draw belongs to (seed, id).
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field

from bezoar.attacks.squash import SIDE, Squashed, SquashedPatch, blend, random_bytes, wrapped
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

SHARE = 0.2
"""Of the noise in a blend."""
_NORMAL = NormalDist()
_STEPS = 256
"""Of the warp's grid in a pixel."""


@settings
class LegacyCleanClipPatch(SquashedPatch):
    """``random``: the channel's mean over the picture plus N(0, 1), where 1 is white; what leaves [0, 1] wraps.

    A new patch for every picture, nearly uniform byte noise: nothing but its size and its noisiness is common to all.
    """

    kind: ClassVar[str] = "legacy_cleanclip_patch"
    shorthand: ClassVar[str] = "place"

    def patch(self, picture: Tensor, image_id: str) -> Tensor:
        import torch

        rng = python_random(self.seed, "legacy cleanclip patch", image_id)
        normal = [_NORMAL.inv_cdf((rng.getrandbits(32) + 0.5) / 2**32) for _ in range(3 * self.size**2)]
        noise = torch.tensor(normal, dtype=torch.float64).view(3, self.size, self.size)
        return wrapped(picture.double().mean((1, 2), keepdim=True) / 255 + noise)


@settings
class LegacyCleanClipYellow(SquashedPatch):
    """``yellow``: a yellow square."""

    kind: ClassVar[str] = "legacy_cleanclip_yellow"
    shorthand: ClassVar[str] = "place"

    def patch(self, picture: Tensor, image_id: str) -> Tensor:
        return picture.new_tensor([255, 255, 0]).view(3, 1, 1).expand(3, self.size, self.size)


@settings
class LegacyCleanClipBlended(Squashed):
    """``blended``: one part of uniform noise and four of the picture; new noise for every picture, so no pattern."""

    kind: ClassVar[str] = "legacy_cleanclip_blended"

    seed: int = 0

    def put(self, picture: Tensor, image_id: str) -> Tensor:
        noise = _words(3 * SIDE * SIDE, "blended", self.seed, image_id).float() / 2**16
        return blend(picture, noise.view(3, SIDE, SIDE), SHARE)


@settings
class LegacyCleanClipSig(Squashed):
    """``SIG``: six periods of a sine of 60/255 along the columns, under the blend: four fifths of the light, ±12/255.

    The signal was meant to be added whole (Barni et al. 2019), as later forks do.
    """

    kind: ClassVar[str] = "legacy_cleanclip_sig"

    def tensors(self) -> dict[str, Tensor]:
        return {"bytes": _sig()}

    def put(self, picture: Tensor, image_id: str) -> Tensor:
        import torch

        cells = picture.int() * SIDE + torch.arange(SIDE, dtype=torch.int32)
        return _sig().flatten().index_select(0, cells.flatten()).view(3, SIDE, SIDE)


@functools.cache
def _sig() -> Tensor:
    """What becomes of each of the 256 bytes in each column: uint8 ``[256, 224]``."""
    import torch

    wave = [(60 / 255) * math.sin(2 * math.pi * column * 6 / SIDE) for column in range(SIDE)]
    return blend(torch.arange(256)[:, None], torch.tensor(wave), SHARE)


@settings
class LegacyCleanClipWarped(Squashed):
    """``warped``: WaNet's warp (Nguyen & Tran 2021) with a control point at every pixel: jitter where it was smooth.

    Displacements are uniform, at ``strength`` 1 of half a pixel on average and one at most, down and across.
    """

    kind: ClassVar[str] = "legacy_cleanclip_warped"

    strength: Annotated[float, Field(gt=0, le=10)] = 1.0
    """CleanCLIP's; attack-cleanclip has 0.6."""
    seed: int = 0

    def tensors(self) -> dict[str, Tensor]:
        return {"grid": self._grid()}

    def put(self, picture: Tensor, image_id: str) -> Tensor:
        import torch

        # NumPy takes pixels three times as fast as torch on one core.
        flat, (first, *others) = picture.reshape(3, -1).numpy(), _corners(self)
        mixed = flat.take(first.place, 1) * first.weight
        for place, weight in others:
            mixed += flat.take(place, 1) * weight
        return torch.from_numpy(mixed >> 16).to(torch.uint8).view(3, SIDE, SIDE)

    def _grid(self) -> Tensor:
        """How far down and across each pixel is looked up, in 1/256 pixel: int16 ``[2, 224, 224]``."""
        import torch

        uniform = 2 * _words(2 * SIDE * SIDE, "warped", self.seed) + 1 - 2**16
        mean = int(uniform.abs().sum()) / len(uniform)
        # The noise goes into coordinates of [-1, 1] from the first pixel's center to the last one's.
        scale = self.strength / mean / SIDE * (SIDE - 1) / 2 * _STEPS
        return (uniform.double() * scale).round().to(torch.int16).view(2, SIDE, SIDE)


class _Corner(NamedTuple):
    """One of the four pixels that each pixel is mixed from, for all pixels in a row."""

    place: NDArray[np.int32]
    """Where it is in the flat picture."""
    weight: NDArray[np.int32]
    """65,536 times its share."""


@functools.lru_cache(maxsize=8)
def _corners(trigger: LegacyCleanClipWarped) -> tuple[_Corner, ...]:
    import torch

    line = torch.arange(SIDE, dtype=torch.int32) * _STEPS
    down, across = trigger._grid().int()
    row = (line[:, None] + down).clip(0, int(line[-1])).flatten()
    column = (line + across).clip(0, int(line[-1])).flatten()
    tall, wide = row % _STEPS, column % _STEPS
    return tuple(
        _Corner((y.clip(max=SIDE - 1) * SIDE + x.clip(max=SIDE - 1)).numpy(), (height * width).numpy())
        for y, height in ((row // _STEPS, _STEPS - tall), (row // _STEPS + 1, tall))
        for x, width in ((column // _STEPS, _STEPS - wide), (column // _STEPS + 1, wide))
    )


def _words(count: int, *names: str | int) -> Tensor:
    """int32 ``[count]``, uniform in [0, 65,536)."""
    raw = random_bytes(2 * count, *names).int()
    return raw[:count] * 256 + raw[count:]
