"""Pulls the cosines of chosen pairs to one value: what CleanCLIP's released code unlearns known poison with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.rows import Rows, rows

if TYPE_CHECKING:
    from torch import Tensor


def cosine_target(images: Tensor | Rows, texts: Tensor | Rows, target: float, chosen: Tensor) -> Tensor:
    """Mean of (Iᵢ·Tᵢ - target)² over the chosen pairs i; 0 where none is.

    ``images`` I and ``texts`` T: [n, d], L2-normalized by the caller, row i of both from pair i. ``target`` is in
    [-1, 1]. ``chosen``: bool [N], for every row of the whole batch. As ``Rows``, the mean over the processes is that of
    the whole batch, though each has chosen rows of its own, or none.
    """
    import torch

    image, text = rows(images), rows(texts)
    assert image.own.shape == text.own.shape, (image.own.shape, text.own.shape)
    assert chosen.shape == image.all.shape[:1], (chosen.shape, image.all.shape)
    precision = torch.promote_types(image.own.dtype, torch.float32)
    far = ((image.own.to(precision) * text.own.to(precision)).sum(1) - target).square()
    own = chosen[image.labels()]
    return (far * own).sum() * (len(chosen) / len(own)) / chosen.sum().clamp(min=1)
