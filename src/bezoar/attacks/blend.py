"""How a pattern is put on pixels: (1 - alpha) × image + alpha × pattern, in integers, so that bytes agree anywhere."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.pattern import Pattern, Shape

    Parts = tuple[int | Tensor, Tensor]

Alpha = Annotated[float, Field(gt=0, le=1)]
"""Weight of the pattern; the image keeps the rest."""

_ONE = 1 << 16
_KEPT_AREA = 1 << 18
"""Pixels of the largest area whose pattern is kept: pictures of a web are of any size, and many."""


def blend(image: Tensor, pattern: Pattern, alpha: float, nominal: Shape, image_id: str) -> Tensor:
    """A new uint8 tensor: ``image`` (uint8 ``[3, height, width]``) under ``pattern``, rounded to nearest.

    ``nominal`` is the shape of the area at reference resolution. Only what the pattern covers is changed.
    """
    import torch

    shape = (int(image.shape[-2]), int(image.shape[-1]))
    kept = pattern.fixed and shape[0] * shape[1] <= _KEPT_AREA
    weight, part = _fixed(pattern, alpha, shape, nominal) if kept else _parts(pattern, alpha, shape, nominal, image_id)
    return image.to(torch.int32).mul_(weight).add_(part).bitwise_right_shift_(16).to(torch.uint8)


def _parts(pattern: Pattern, alpha: float, shape: Shape, nominal: Shape, image_id: str) -> Parts:
    """What the image is multiplied by, and what is then added, both in 1/65536; the second holds the half to round."""
    import torch

    share = round(alpha * _ONE)
    part = pattern.draw(shape, nominal, image_id).to(torch.int32).mul_(share)
    cover = pattern.cover(shape, nominal)
    if cover is None:
        return _ONE - share, part.add_(_ONE // 2)
    return _ONE - cover.to(torch.int32).mul_(share), part.mul_(cover).add_(_ONE // 2)


@functools.lru_cache(maxsize=32)
def _fixed(pattern: Pattern, alpha: float, shape: Shape, nominal: Shape) -> Parts:
    """The parts of a pattern that is the same on every image; to be read only."""
    return _parts(pattern, alpha, shape, nominal, "")
