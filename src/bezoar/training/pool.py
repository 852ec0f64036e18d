"""A first-in-first-out pool of features seen lately, in which others find their nearest."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PoolStart = Literal["empty", "random"]
PoolEnd = Literal["wrap", "cut"]

_BLOCK = 1024
"""Queries that are compared with all entries at a time."""


class Pool(nn.Module):
    """``size`` L2-normalized features of ``width`` numbers; all of it is checkpointed.

    ``start``: ``empty`` finds nothing before something was pushed; ``random`` begins with random directions, drawn from
    ``generator``, as the released RoCLIP and SafeCLIP do. ``end``: what comes at its end ``wrap``s around to its
    beginning; in the released code a push that reaches the end is ``cut`` there, and the next begins at the front.
    """

    entries: Tensor
    """``[size, width]``."""
    place: Tensor
    """Where the next push begins; a number, kept on the device so that no step waits for it."""
    filled: Tensor
    """How many of the entries are there; a number."""

    def __init__(
        self, size: int, width: int, *, generator: torch.Generator, start: PoolStart = "empty", end: PoolEnd = "wrap"
    ) -> None:
        super().__init__()
        self.end = end
        random = start == "random"
        entries = F.normalize(torch.randn(size, width, generator=generator)) if random else torch.zeros(size, width)
        self.register_buffer("entries", entries)
        self.register_buffer("place", torch.tensor(0))
        self.register_buffer("filled", torch.tensor(size if random else 0))

    def __len__(self) -> int:
        return len(self.entries)

    @torch.no_grad()
    def find(self, queries: Tensor) -> Tensor:
        """The entry of highest cosine for each of the normalized ``queries`` ``[n, width]``, ``int64 [n]``.

        The first of those that are equally near; 0 while the pool is empty.
        """
        missing = torch.arange(len(self), device=self.entries.device) >= self.filled
        # Outside autocast: in bf16 many would be equally near.
        with torch.autocast(queries.device.type, enabled=False):
            blocks = torch.split(queries.to(self.entries), _BLOCK)
            return torch.cat([(block @ self.entries.T).masked_fill_(missing, -torch.inf).argmax(1) for block in blocks])

    @torch.no_grad()
    def nearest(self, queries: Tensor, instead: Tensor) -> Tensor:
        """The nearest entry of each query, detached, ``[n, width]``: a copy, which no later push changes.

        While the pool is empty it is the row of ``instead``, of the same shape.
        """
        return torch.where(self.filled > 0, self.entries[self.find(queries)], instead.to(self.entries))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Put the normalized ``rows`` ``[n, width]`` in place of the oldest entries, in their order."""
        slots, taken = self.slots(len(rows))
        self.entries.index_copy_(0, slots, rows[taken].to(self.entries))
        self._advance(len(rows))

    def slots(self, count: int) -> tuple[Tensor, Tensor]:
        """Which entries the next ``count`` rows take the place of, and which of the rows each of them becomes.

        For whoever keeps something beside the entries; asked before the push.
        """
        size = len(self)
        if self.end == "wrap":
            taken = torch.arange(max(0, count - size), count, device=self.place.device)
            return (self.place + taken) % size, taken
        # What would lie beyond the end repeats the last that fits: no step asks the device how many that are.
        taken = torch.arange(count, device=self.place.device).minimum(size - 1 - self.place)
        return self.place + taken, taken

    def _advance(self, count: int) -> None:
        size = len(self)
        after = self.place + count
        self.filled.copy_((self.filled + count).clamp(max=size))
        self.place.copy_(after % size if self.end == "wrap" else torch.where(after >= size, 0, after))
