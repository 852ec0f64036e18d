"""Ranks: where the class that matters stands among all classes, and which top-k are worth printing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def rank_of(scores: Tensor, labels: Tensor) -> Tensor:
    """[n] int64: how many classes stand before class ``labels[i]`` in row i of ``scores``; 0 is first.

    ``scores``: [n, c], higher is better; ``labels``: [n], whole numbers in [0, c). A class stands before another when
    it scores higher, or the same with a lower index: exactly k classes are within any top-k, however many tie.
    """
    import torch

    assert (scores.ndim, labels.ndim) == (2, 1), (scores.shape, labels.shape)
    assert len(scores) == len(labels), (scores.shape, labels.shape)
    if torch.isnan(scores).any():
        raise ValueError(f"scores: {int(torch.isnan(scores).any(dim=1).sum())} of {len(scores)} rows hold NaN")
    outside = (labels < 0) | (labels >= scores.shape[1])
    if outside.any():
        raise ValueError(f"labels: must be in [0, {scores.shape[1]}), got {labels[outside][0].item()}")
    own = scores.gather(1, labels.long()[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    return ((scores > own) | (scores == own) & earlier).sum(dim=1)


def within(ranks: Tensor, k: int) -> int:
    """How many ranks are within the top ``k``."""
    assert k >= 1, k
    return int((ranks < k).sum())


def choices(k_values: Iterable[int], classes: int) -> tuple[int, ...]:
    """The k worth printing, ascending: 1 always, any other only below half the classes (beyond, chance decides)."""
    wanted = set(k_values)
    if any(k < 1 for k in wanted):
        raise ValueError(f"k: must be at least 1, got {min(wanted)}")
    return (1, *sorted(k for k in wanted if k > 1 and 2 * k < classes))
