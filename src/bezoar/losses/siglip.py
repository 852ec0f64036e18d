"""Pairwise sigmoid losses: SigLIP's (Zhai et al. 2023, algorithm 1), and what attack-cleanclip's code calls so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.rows import Rows, rows

if TYPE_CHECKING:
    from torch import Tensor


def siglip(images: Tensor | Rows, texts: Tensor | Rows, scale: Tensor, bias: Tensor) -> Tensor:
    """-1/n Σᵢⱼ log σ(zᵢⱼ (s Iᵢ·Tⱼ + b)), in nats; z is 1 where i is j, else -1: is this the caption of that picture?

    ``images`` I and ``texts`` T: [n, d], L2-normalized by the caller, row i of both from pair i; as ``Rows``, own
    images against all texts, averaged over the own ones. ``scale`` s: a scalar, the inverse temperature, already
    exponentiated; ``bias`` b: a scalar, negative because most of n² are no pairs. The logits are at least float32, also
    under autocast.
    """
    import torch
    from torch.nn import functional as F

    image, text = rows(images), rows(texts)
    assert (image.own.ndim, scale.ndim, bias.ndim) == (2, 0, 0), (image.own.shape, scale.shape, bias.shape)
    assert image.own.shape == text.own.shape, (image.own.shape, text.own.shape)
    precision = torch.promote_types(image.own.dtype, torch.float32)
    # Inside autocast the product of two float32 matrices would be bf16 again.
    with torch.autocast(image.own.device.type, enabled=False):
        logits = scale.to(precision) * image.own.to(precision) @ text.all.to(precision).T + bias.to(precision)
        pairs = torch.zeros_like(logits).scatter_(1, image.labels()[:, None], 1)
        return F.binary_cross_entropy_with_logits(logits, pairs, reduction="sum") / len(logits)


def legacy_siglip(images: Tensor | Rows, texts: Tensor | Rows, scale: Tensor) -> Tensor:
    """The mean over all n² of -log σ(zᵢⱼ s Iᵢ·Tⱼ): without bias, and n times smaller than a sum per picture.

    Arguments as of ``siglip``. The one true pair of a picture weighs as much as each of its n - 1 others.
    """
    return siglip(images, texts, scale, scale.new_zeros(())) / len(rows(texts).all)
