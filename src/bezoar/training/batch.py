"""What a loss sees of the data. No answer key: who is poisoned never enters a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from bezoar.core.rows import Rows, rows

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.training.peers import Peers
    from bezoar.training.state import State


@dataclass(frozen=True, kw_only=True)
class Batch:
    """``n`` pairs under their views."""

    ids: tuple[str, ...]
    indices: Tensor
    """Positions in the pairs, ``int64 [n]``."""
    everybody: Tensor
    """Those of the whole batch, over all processes in their order, ``int64 [N]``; of a chunk they stay the same."""
    images: tuple[Tensor, ...]
    """One uint8 ``[n, 3, S, S]`` per image view."""
    texts: tuple[Tensor, ...]
    """One int64 ``[n, length]`` per caption view, all of one length."""
    again: int = 0
    """How many of the rows, the last ones, are pairs that came before in the batch."""

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return self if device.type == "cpu" else self._each(lambda part: part.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in memory from which a GPU copies while it computes; torch's loader asks for it."""
        return self._each(lambda part: part.pin_memory())

    def chunks(self, size: int) -> Iterator[Batch]:
        """The batch in pieces of ``size`` pairs, the last as small as is left."""
        first = len(self) - self.again
        for start in range(0, len(self), size):
            chunk = self._each(lambda part: part[start : start + size], self.ids[start : start + size])  # noqa: B023
            again = max(0, start + len(chunk) - max(start, first))
            yield replace(chunk, everybody=self.everybody, again=again)

    def evenly(self, count: int) -> Batch:
        """``count`` of the pairs, evenly over the batch, as they come again in it."""
        # Made where it is used: a device that is handed a list has to be waited for.
        places = torch.arange(count, device=self.indices.device) * len(self) // count
        ids = tuple(self.ids[len(self) * number // count] for number in range(count))
        return replace(self._each(lambda part: part[places], ids), everybody=self.everybody, again=count)

    def draws(self, pairs: int) -> Tensor:
        """What random draws for each row are named by, ``int64 [n]``: its position in the ``pairs`` pairs, or, where it
        comes again, one beyond all of them."""
        first = len(self) - self.again
        return torch.cat([self.indices[:first], self.indices[first:] + pairs])

    def _each(self, change: Callable[[Tensor], Tensor], ids: tuple[str, ...] | None = None) -> Batch:
        return Batch(
            ids=self.ids if ids is None else ids,
            indices=change(self.indices),
            everybody=change(self.everybody),
            images=tuple(map(change, self.images)),
            texts=tuple(map(change, self.texts)),
            again=self.again,
        )


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the towers say of a batch: L2-normalized ``[n, d]`` per view, and whatever else a method's encoder adds.

    An encoder fills in the rows of its own pairs; the loss is given them beside those of all processes.
    """

    images: tuple[Rows, ...]
    texts: tuple[Rows, ...]
    others: Mapping[str, Tensor] = field(default_factory=dict)
    """Anything more, by name, with one row a pair: of this process's pairs only."""

    def parts(self) -> list[Tensor]:
        """All that was made of this process's pairs, in a fixed order."""
        return [*(part.own for part in (*self.images, *self.texts)), *self.others.values()]

    def made_of(self, parts: Sequence[Tensor]) -> Features:
        """The same with other tensors, in the order of ``parts``."""
        images, texts = len(self.images), len(self.images) + len(self.texts)
        return Features(
            images=tuple(map(rows, parts[:images])),
            texts=tuple(map(rows, parts[images:texts])),
            others=dict(zip(self.others, parts[texts:], strict=True)),
        )

    def shared(self, peers: Peers) -> Features:
        """The same beside what the other processes have."""
        found = peers.rows([part.own for part in (*self.images, *self.texts)])
        count = len(self.images)
        return Features(images=tuple(found[:count]), texts=tuple(found[count:]), others=self.others)


def together(state: State, batch: Batch) -> Features:
    """Features of every view, all views of a modality through one forward.

    Faster than one after the other; batch normalization then mixes the statistics of the views, as the released systems
    do.
    """
    images = state.model.encode_image(torch.cat(batch.images)).chunk(len(batch.images)) if batch.images else ()
    return Features(images=tuple(map(rows, images)), texts=_texts(state, batch))


def apart(state: State, batch: Batch) -> Features:
    """Features of every view, each image view through a forward of its own."""
    images = tuple(rows(state.model.encode_image(view)) for view in batch.images)
    return Features(images=images, texts=_texts(state, batch))


def first_asks(encode: Callable[[State, Batch], Features], state: State, batch: Batch) -> Features:
    """As ``encode``, but the first captions, which only ask what is nearest to them, have no gradient."""
    first, *others = batch.texts
    # The others first: autocast keeps the weights it has cast, and those cast without gradient have none later.
    found = encode(state, replace(batch, texts=tuple(others)))
    with torch.no_grad():
        asking = _texts(state, replace(batch, texts=(first,)))
    return replace(found, texts=(*asking, *found.texts))


def _texts(state: State, batch: Batch) -> tuple[Rows, ...]:
    if not batch.texts:
        return ()
    return tuple(map(rows, state.model.encode_text(torch.cat(batch.texts)).chunk(len(batch.texts))))
