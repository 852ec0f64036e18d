"""Symmetric InfoNCE, the image–text loss of CLIP (Radford et al. 2021, fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.rows import Rows, rows

if TYPE_CHECKING:
    from torch import Tensor


def info_nce(images: Tensor | Rows, texts: Tensor | Rows, scale: Tensor, *, kept: Tensor | None = None) -> Tensor:
    """[CE(s I Tᵗ, 1…n) + CE(s T Iᵗ, 1…n)] / 2, in nats, averaged over the own rows: pair i is the only positive of i.

    ``images`` I and ``texts`` T: [n, d], L2-normalized by the caller, row i of both from pair i; as ``Rows``, own rows
    against all. ``scale`` s: a scalar, the inverse temperature, already exponentiated. The logits are at least float32,
    whatever the features and autocast. ``kept``: bool [N], for every row of the whole batch: the loss is that of a
    batch without the others, and 0 where none is kept.
    """
    import torch
    from torch.nn import functional as F

    image, text = rows(images), rows(texts)
    assert (image.own.ndim, scale.ndim) == (2, 0), (image.own.shape, scale.shape)
    assert image.own.shape == text.own.shape, (image.own.shape, text.own.shape)
    precision = torch.promote_types(image.own.dtype, torch.float32)
    # Inside autocast the product of two float32 matrices would be bf16 again.
    with torch.autocast(image.own.device.type, enabled=False):
        scale, labels = scale.to(precision), image.labels()
        logits = scale * image.own.to(precision) @ text.all.to(precision).T
        back = logits.T if image.whole else scale * text.own.to(precision) @ image.all.to(precision).T
        if kept is None:
            return (F.cross_entropy(logits, labels) + F.cross_entropy(back, labels)) / 2
        return (_among(kept, logits, labels) + _among(kept, back, labels)) / 2


def _among(kept: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the kept rows among the kept columns: its mean over the processes is theirs of all."""
    import torch
    from torch.nn import functional as F

    assert kept.shape == logits.shape[1:], (kept.shape, logits.shape)
    # Not picked out by index, for which the host would wait for the device; finite, so that nothing times 0 is NaN.
    hidden = logits.masked_fill(~kept, torch.finfo(logits.dtype).min)
    each = torch.where(kept[labels], F.cross_entropy(hidden, labels, reduction="none"), 0.0)
    return each.sum() * (len(kept) / len(labels)) / kept.sum().clamp(min=1)
