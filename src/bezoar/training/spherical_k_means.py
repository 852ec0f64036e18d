"""Spherical k-means: directions in groups, by cosine (Dhillon and Modha 2001)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_BLOCK = 1 << 24
"""Cosines that are held at a time."""


def spherical_k_means(rows: Tensor, start: Tensor, iterations: int) -> Tensor:
    """The centroids after ``iterations`` rounds from ``start``: ``[k, d]`` of length one, on the device of ``start``.

    ``rows`` ``[n, d]`` have length one and may lie on another device, to which they are brought a block at a time. In a
    round each row goes to the centroid with the highest cosine, the first of equal ones, and each centroid becomes the
    direction of the sum of its rows. Centroids that no row has gone to take the rows that are least like their own, the
    least alike first: there is no randomness. Raises ``ValueError`` for fewer rows than centroids.
    """
    if len(rows) < len(start):
        raise ValueError(f"centroids: {len(start)} are more than the {len(rows)} rows there are")
    centroids = F.normalize(start, dim=1)
    for _ in range(iterations):
        centroids = _round(rows, centroids)
    return centroids


def nearest(rows: Tensor, centroids: Tensor) -> Tensor:
    """The centroid that each row has the highest cosine with, the first of equal ones, ``int64 [n]``.

    ``rows`` ``[n, d]`` and ``centroids`` ``[k, d]`` have length one; the result lies where the centroids do.
    """
    return torch.cat([found for _, _, found in _found(rows, centroids)])


def _round(rows: Tensor, centroids: Tensor) -> Tensor:
    sums, counts = torch.zeros_like(centroids), centroids.new_zeros(len(centroids))
    cosines = []
    for some, highest, found in _found(rows, centroids):
        sums.index_add_(0, found, some)
        counts.index_add_(0, found, torch.ones_like(highest))
        cosines.append(highest)
    made = F.normalize(sums, dim=1)
    empty = (counts == 0).nonzero().flatten()
    if len(empty):
        strangers = torch.cat(cosines).argsort(stable=True)[: len(empty)]
        made[empty] = rows[strangers.to(rows.device)].to(made)
    return made


def _found(rows: Tensor, centroids: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of rows with the highest cosine of each and whose it is."""
    # Outside autocast: a product in bf16 has ties, and ties are decided by the order of the centroids.
    with torch.no_grad(), torch.autocast(centroids.device.type, enabled=False):
        for block in torch.split(rows, max(1, _BLOCK // len(centroids))):
            some = block.to(centroids)
            highest, found = (some @ centroids.T).max(1)
            yield some, highest, found
