"""Symmetric InfoNCE, the image–text loss of CLIP (Radford et al. 2021, fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def info_nce(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """[CE(s I Tᵗ, 1…n) + CE(s T Iᵗ, 1…n)] / 2, in nats, averaged over the batch: pair i is the only positive of i.

    ``images`` I and ``texts`` T: [n, d], L2-normalized by the caller, row i of both from pair i. ``scale`` s: a scalar,
    the inverse temperature, already exponentiated. The logits are at least float32, whatever the features and autocast.
    """
    import torch
    from torch.nn import functional as F

    assert (images.ndim, scale.ndim) == (2, 0), (images.shape, scale.shape)
    assert images.shape == texts.shape, (images.shape, texts.shape)
    precision = torch.promote_types(images.dtype, torch.float32)
    # Inside autocast the product of two float32 matrices would be bf16 again.
    with torch.autocast(images.device.type, enabled=False):
        logits = scale.to(precision) * images.to(precision) @ texts.to(precision).T
        labels = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
