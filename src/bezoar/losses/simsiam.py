"""SimSiam's loss (Chen & He 2021, "Exploring Simple Siamese Representation Learning", eq. 1–4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def simsiam(predicted: Tensor, projected: Tensor, other_predicted: Tensor, other_projected: Tensor) -> Tensor:
    """-½ mean cos(p₁, sg z₂) - ½ mean cos(p₂, sg z₁), in [-1, 1]: each view is predicted from the other.

    ``predicted`` p₁ and ``projected`` z₁ are of the first views, the others of the second, all ``[n, d]``, row i of
    each from picture i, not normalized. Nothing flows back through the projections (sg). At least float32.
    """
    import torch
    from torch.nn import functional as F

    assert predicted.shape == projected.shape == other_predicted.shape == other_projected.shape, predicted.shape
    precision = torch.promote_types(predicted.dtype, torch.float32)

    def cosine(one: Tensor, target: Tensor) -> Tensor:
        return F.cosine_similarity(one.to(precision), target.detach().to(precision), dim=1).mean()

    return -(cosine(predicted, other_projected) + cosine(other_predicted, projected)) / 2
