"""The in-modal, self-supervised term of CleanCLIP (Bansal et al. 2023, section 4): an original finds its own view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.rows import Rows, rows

if TYPE_CHECKING:
    from torch import Tensor


def in_modal(views: Tensor | Rows, others: Tensor | Rows, scale: Tensor) -> Tensor:
    """CE(s V V'ᵗ, 1…n), in nats, averaged over the own rows: original → augmented only, no negatives within a view.

    ``views`` V: [n, d], the originals of one modality; ``others`` V': [n, d], their augmented views in the same order;
    both L2-normalized by the caller; as ``Rows``, own rows against all. ``scale`` s: the scalar of the image–text loss,
    shared and learned there too. The paper's term is the mean of an image and a text call; the symmetric form, in which
    the view finds its original too, is ``info_nce``. The logits are at least float32, also under autocast.
    """
    import torch
    from torch.nn import functional as F

    view, other = rows(views), rows(others)
    assert (view.own.ndim, scale.ndim) == (2, 0), (view.own.shape, scale.shape)
    assert view.own.shape == other.own.shape, (view.own.shape, other.own.shape)
    precision = torch.promote_types(view.own.dtype, torch.float32)
    # Inside autocast the product of two float32 matrices would be bf16 again.
    with torch.autocast(view.own.device.type, enabled=False):
        logits = scale.to(precision) * view.own.to(precision) @ other.all.to(precision).T
        return F.cross_entropy(logits, view.labels())
