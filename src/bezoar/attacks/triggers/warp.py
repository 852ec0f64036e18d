"""WaNet: the image bent by a smooth random field (Nguyen & Tran 2021)."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field

from bezoar.attacks.trigger import Trigger
from bezoar.core.seeds import numpy_generator
from bezoar.core.settings import settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Integers = npt.NDArray[np.int64]

_PIXEL = 1 << 16
"""Parts of a pixel that a displacement is told in."""
_KEPT_AREA = 1 << 18
"""Pixels of the largest image whose map is kept: it takes 64 bytes a pixel."""
_SHARE = 13
"""Bits of a pixel's weight: with 8 of the color, three channels share 63 bits."""


@settings
class Warp(Trigger):
    """Every pixel is read ``s × field / reference`` beside its place, on axes that run from -1 to 1.

    The field is a grid of k × k random vectors, divided by its mean size and upsampled by a bicubic; the places are
    multiplied by ``grid_rescale`` and clamped to the image. The axes belong to the image, whatever its shape. Fields
    hold WaNet's values, with which pixels at ``reference`` move 0.2 px on average; the released code of CleanCLIP
    has k = 224 and s = 1, a jitter from pixel to pixel of 0.5 px, that of attack-cleanclip s = 0.6.
    """

    kind: ClassVar[str] = "warp"
    k: Annotated[int, Field(ge=2)] = 4
    """Rows and columns of the control grid."""
    s: Annotated[float, Field(gt=0)] = 0.5
    """Strength: the mean size of the control grid's vectors, in half pixels at reference resolution."""
    grid_rescale: Annotated[float, Field(gt=0)] = 1.0
    """Below 1 the image is also enlarged, so that less is read from beyond its border."""
    reference: Annotated[int, Field(ge=2)] = 224
    """Rows and columns of the field."""
    seed: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """``warp``: int32 ``[2, reference, reference]``, by how many 1/65536 px each pixel is read to the right of
        its place (0) and below it (1)."""
        import torch

        return {"warp": torch.from_numpy(_field(self)).to(torch.int32)}

    def apply(self, image: Tensor, image_id: str) -> Tensor:
        import torch

        height, width = int(image.shape[-2]), int(image.shape[-1])
        grid = (_kept_map if height * width <= _KEPT_AREA else _map)(self, height, width)
        red, green, blue = image.reshape(3, -1).to(torch.int64)
        # The three channels of a pixel in one number, each with room for its weighted sum.
        packed = red.bitwise_or_(green << (8 + _SHARE)).bitwise_or_(blue << 2 * (8 + _SHARE))
        total = packed[grid.places[0]].mul_(grid.weights[0])
        for places, weights in zip(grid.places[1:], grid.weights[1:], strict=True):
            total.addcmul_(packed[places], weights)
        warped = torch.empty(3, height * width, dtype=torch.uint8)
        half = 1 << (_SHARE - 1)
        for channel in range(3):
            warped[channel] = ((total >> channel * (8 + _SHARE)).bitwise_and_((1 << 8 + _SHARE) - 1) + half) >> _SHARE
        return warped.view(3, height, width)


class _Map(NamedTuple):
    """For each pixel of an image, the four that it is mixed of: top left, top right, bottom left, bottom right."""

    places: tuple[Tensor, ...]
    """Each int64 ``[pixels]``: where in the flat image."""
    weights: tuple[Tensor, ...]
    """Each int64 ``[pixels]``, in 1/8192; the four of a pixel make 8192."""


def _map(warp: Warp, height: int, width: int) -> _Map:
    """What an image of that size is read by."""
    import numpy as np
    import torch

    field = _field(warp)
    across, down = (
        _resized(axis, height, width) * (length - 1) // (warp.reference - 1)
        for axis, length in zip(field, (width, height), strict=True)
    )
    x = np.clip(np.arange(width) * _PIXEL + across, 0, (width - 1) * _PIXEL)
    y = np.clip(np.arange(height)[:, None] * _PIXEL + down, 0, (height - 1) * _PIXEL)
    left, top = x // _PIXEL, y // _PIXEL
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    to_right, to_bottom = (x % _PIXEL) >> (16 - _SHARE), (y % _PIXEL) >> (16 - _SHARE)
    both = to_right * to_bottom >> _SHARE  # rounded down: then none of the four is negative
    weights = ((1 << _SHARE) - to_right - to_bottom + both, to_right - both, to_bottom - both, both)
    places = (top * width + left, top * width + right, bottom * width + left, bottom * width + right)
    return _Map(
        tuple(torch.from_numpy(place.ravel()) for place in places),
        tuple(torch.from_numpy(weight.ravel()) for weight in weights),
    )


_kept_map = functools.lru_cache(maxsize=4)(_map)
"""To be read only."""


@functools.lru_cache(maxsize=8)
def _field(warp: Warp) -> Integers:
    """How far each pixel at reference resolution is read from its place, in 1/65536 px: ``[2, rows, columns]``.

    In integers after the control grid is drawn, so that the bytes agree on all machines.
    """
    import numpy as np

    one = 1 << 20
    control = numpy_generator(warp.seed, "warp").random((2, warp.k, warp.k)) * 2 - 1
    mean = math.fsum(np.abs(control).ravel()) / control.size
    controls = np.rint(control / mean * one).astype(np.int64)
    bicubic = np.rint(_bicubic(warp.k, warp.reference) * one).astype(np.int64)
    rows = (bicubic @ controls + one // 2) >> 20
    smooth = (rows @ bicubic.T + one // 2) >> 20
    identity = np.linspace(-1, 1, warp.reference)
    beside = warp.s * (smooth / one) / warp.reference
    places = np.stack([identity[None, :] + beside[0], identity[:, None] + beside[1]]) * warp.grid_rescale
    moved = np.clip(places, -1, 1) - np.stack(np.broadcast_arrays(identity[None, :], identity[:, None]))
    field: Integers = np.rint(moved * ((warp.reference - 1) / 2 * _PIXEL)).astype(np.int64)
    return field


def _bicubic(count: int, length: int) -> npt.NDArray[np.float64]:
    """``[length, count]``: what ``length`` points between the first and the last of ``count`` take of each.

    Keys' kernel with a = -0.75; the first and the last are repeated beyond the ends.
    """
    import numpy as np

    places = np.arange(length) * (count - 1) / (length - 1)
    start = np.minimum(np.floor(places), count - 2)
    shares = np.zeros((length, count))
    for step in range(-1, 3):
        far = np.abs(places - start - step)
        near = (1.25 * far - 2.25) * far * far + 1
        beyond = ((-0.75 * far + 3.75) * far - 6) * far + 3
        np.add.at(
            shares,
            (np.arange(length), np.clip(start + step, 0, count - 1).astype(np.int64)),
            np.where(far <= 1, near, beyond),
        )
    return shares


def _resized(field: Integers, height: int, width: int) -> Integers:
    """A square field on an image of another size, its borders on the image's, by a bilinear in integers."""
    import numpy as np

    last = len(field) - 1
    for length in (height, width):  # rows, then columns: each turn ends with the axes exchanged
        steps = np.arange(length) * last
        whole = max(1, length - 1)
        at, rest = steps // whole, (steps % whole)[:, None]
        field = (field[at] * (whole - rest) + field[np.minimum(at + 1, last)] * rest) // whole
        field = field.T
    return field
