"""Features of one process's pairs beside those of every process: what a loss over a shared batch is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """A feature matrix of the whole batch, of which this process made the rows from ``start`` on.

    A loss compares its ``own`` rows with ``all`` and averages over its own. The mean of that over all processes is the
    loss of the whole batch, and no process holds a matrix of all against all.
    """

    own: Tensor
    """``[n, d]``, the features of this process's pairs."""
    all: Tensor
    """``[N, d]``, those of every process in order; gradients flow to whoever made them. ``own`` itself where there is
    one process."""
    start: int = 0
    """Row of ``own[0]`` in ``all``."""

    @property
    def whole(self) -> bool:
        """Whether this process made all rows."""
        return self.own is self.all

    def labels(self) -> Tensor:
        """The row in ``all`` of each own row, ``int64 [n]``."""
        import torch

        return torch.arange(self.start, self.start + len(self.own), device=self.own.device)


def rows(features: Tensor | Rows) -> Rows:
    """``features`` as rows; a plain matrix is the whole batch."""
    return features if isinstance(features, Rows) else Rows(features, features)
