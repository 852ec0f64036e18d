"""Pictures and captions go through a model in chunks; where several processes evaluate, each does its share of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.training.peers import Peers

CHUNK = 256
"""Pictures or captions in one forward."""


def spans(count: int) -> list[range]:
    """``count`` things in chunks, in order."""
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def shared(peers: Peers, sizes: Sequence[int], make: Callable[[int], Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Everything that ``make`` makes of all chunks, in their order; each process makes some chunks and gets all.

    ``make(number)`` gives one or several matrices ``[sizes[number], d]``. Chunks are never cut: what is made of them
    has the same bits on any number of processes.
    """
    share = peers.share(len(sizes))
    # Without a share the first chunk is made all the same: nothing else tells the shape of what is then received.
    columns = zip(*(make(number) for number in share or range(1)), strict=True)
    return tuple(_together(peers, parts, len(share), sizes) for parts in columns)


def _together(peers: Peers, own: Sequence[Tensor], count: int, sizes: Sequence[int]) -> Tensor:
    """The chunks of all processes as one matrix, of which the first ``count`` in ``own`` are this one's."""
    import torch
    from torch.nn import functional as F

    if peers.world == 1:
        return torch.cat(list(own))
    most = max(sizes)
    padded = torch.stack([F.pad(part, (0, 0, 0, most - len(part))) for part in own])[:count]
    everybody = peers.collect(padded, len(sizes))
    return torch.cat([part[:size] for part, size in zip(everybody, sizes, strict=True)])
