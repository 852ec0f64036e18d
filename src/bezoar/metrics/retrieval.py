"""Retrieval: where the right caption stands among all captions, and the right picture among all pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bezoar.metrics.intervals import Interval, wilson
from bezoar.metrics.ranks import rank_of, within

if TYPE_CHECKING:
    from torch import Tensor

_ROWS = 1024
"""Queries compared at a time."""


class RetrievalRanks(NamedTuple):
    """Ranks of what is searched for, 0 is first."""

    texts: Tensor
    """Of the best of a picture's own captions among all captions, ``int64 [pictures]``."""
    images: Tensor
    """Of a caption's own picture among all pictures, ``int64 [captions]``."""


def retrieval_ranks(images: Tensor, texts: Tensor, picture: Tensor) -> RetrievalRanks:
    """Ranks in both directions by cosine.

    ``images``: [p, d], ``texts``: [c, d], both L2-normalized; ``picture``: [c], which picture each caption describes;
    every picture has one at least. What scores the same stands in the order given.
    """
    import torch

    assert images.ndim == texts.ndim == 2, (images.shape, texts.shape)
    assert picture.shape == texts.shape[:1], (picture.shape, texts.shape)
    assert len(set(picture.tolist())) == len(images), "every picture needs a caption"
    places = torch.arange(len(texts), device=texts.device)
    of_images = torch.cat([
        rank_of(texts[start : start + _ROWS] @ images.T, picture[start : start + _ROWS])
        for start in range(0, len(texts), _ROWS)
    ])  # fmt: skip
    of_texts = []
    for start in range(0, len(images), _ROWS):
        scores = images[start : start + _ROWS] @ texts.T
        own = picture[None, :] == torch.arange(start, start + len(scores), device=texts.device)[:, None]
        best = scores.masked_fill(~own, -torch.inf).max(dim=1).values
        first = torch.where(own & (scores == best[:, None]), places, len(texts)).min(dim=1).values
        of_texts.append(rank_of(scores, first))
    return RetrievalRanks(torch.cat(of_texts), of_images)


def recall(ranks: Tensor, k: int, independent: int) -> Interval:
    """Share of queries whose answer is within the top ``k``, with a Wilson interval over ``independent`` samples.

    Captions of one picture are found or missed together: their interval counts pictures.
    """
    assert 1 <= independent <= len(ranks), (independent, len(ranks))
    share = within(ranks, k) / len(ranks)
    around = wilson(round(share * independent), independent)
    # The whole number of pictures nearest to the share has an interval that may lie a hair beside it.
    return Interval(share, min(around.low, share), max(around.high, share), independent)
