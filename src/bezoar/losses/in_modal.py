"""The in-modal, self-supervised term of CleanCLIP (Bansal et al. 2023, section 4): an original finds its own view."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def in_modal(views: Tensor, others: Tensor, scale: Tensor) -> Tensor:
    """CE(s V V'ᵗ, 1…n), in nats, averaged over the batch: original → augmented only, no negatives within a view.

    ``views`` V: [n, d], the originals of one modality; ``others`` V': [n, d], their augmented views in the same order;
    both L2-normalized by the caller. ``scale`` s: the scalar of the image–text loss, shared and learned there too.
    The paper's term is the mean of an image and a text call. The logits are at least float32, also under autocast.
    """
    import torch
    from torch.nn import functional as F

    assert (views.ndim, scale.ndim) == (2, 0), (views.shape, scale.shape)
    assert views.shape == others.shape, (views.shape, others.shape)
    precision = torch.promote_types(views.dtype, torch.float32)
    # Inside autocast the product of two float32 matrices would be bf16 again.
    with torch.autocast(views.device.type, enabled=False):
        logits = scale.to(precision) * views.to(precision) @ others.to(precision).T
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
