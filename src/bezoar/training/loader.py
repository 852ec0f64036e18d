"""From pairs, plan and views to batches: every picture decoded once per step, every draw named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from bezoar.attacks.applied import Applied
from bezoar.core.seeds import stream_seed, torch_generator
from bezoar.data.pairs import check_caption
from bezoar.training.batch import Batch
from bezoar.training.peers import ALONE, Peers

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.captions import CaptionView
    from bezoar.data.pairs import Pairs, Pixels
    from bezoar.data.prepared import Pictures
    from bezoar.data.views import ImageView
    from bezoar.models.tokenizer import Tokenizer
    from bezoar.training.method import Pass

    Mark = Callable[[Tensor], Tensor]

V = TypeVar("V")


class TrainingPairs:
    """Pairs as an attacker left them: the plan, where there is one, is applied on the way out."""

    def __init__(self, pairs: Pairs, prepared: Pictures, plan: PoisonPlan | None = None) -> None:
        self.pairs = pairs
        self.prepared = prepared
        self.plan = plan
        self._applied = Applied(pairs, plan) if plan is not None else None

    def __len__(self) -> int:
        return len(self.pairs) if self._applied is None else len(self._applied)

    def id(self, index: int) -> str:
        """The id of a pair; those that an attacker has added have their own."""
        return self.pairs.id(index) if self._applied is None else self._applied.id(index)

    def image(self, index: int) -> Tensor:
        """uint8 ``[3, S, S]`` before any view."""
        return self.prepared[index] if self._applied is None else self._applied.picture(index, self.prepared)

    def caption(self, index: int) -> str:
        """The caption before any view."""
        if self._applied is not None:
            return self._applied.caption(index)
        return check_caption(self.pairs.caption(index), "pairs", self.pairs.id(index))

    def poisoned(self) -> Tensor:
        """Which pairs the plan has poisoned, ``bool [n]``: for a method that is granted the answer key."""
        rows = (None if self._applied is None else self._applied.row(index) for index in range(len(self)))
        return torch.tensor([row is not None for row in rows])

    def after_crop(self, index: int) -> Callable[[Tensor], Tensor] | None:
        """What an attacker puts on the picture after a view's random crop, where something is."""
        return self._applied.after_crop(index) if self._applied is not None else None


class AsLeft:
    """The pairs as the attacker left them, at model resolution: what a method may look at when it begins.

    Nothing in it tells a poisoned pair from another.
    """

    def __init__(self, data: TrainingPairs) -> None:
        self._data = data

    @property
    def fingerprint(self) -> str:
        return self._data.pairs.fingerprint

    def __len__(self) -> int:
        return len(self._data)

    def id(self, index: int) -> str:
        return self._data.id(index)

    def image(self, index: int) -> Pixels:
        pixels: Pixels = self._data.image(index).permute(1, 2, 0).numpy()
        return pixels

    def caption(self, index: int) -> str:
        return self._data.caption(index)


class _Each(Dataset[V | ValueError]):
    """What ``make`` makes of each group of indices, in one go by one process."""

    def __init__(self, make: Callable[[Sequence[int]], V]) -> None:
        self.make = make

    def __getitem__(self, indices: Sequence[int]) -> V | ValueError:
        try:
            return self.make(indices)
        except ValueError as error:
            # Handed over, not raised: the loader would wrap its one line into a worker's traceback.
            return error


def made(
    make: Callable[[Sequence[int]], V],
    groups: Sequence[Sequence[int]],
    *,
    workers: int,
    generator: torch.Generator,
    pin: bool = False,
) -> Iterator[V]:
    """What ``make`` makes of each of ``groups``, in their order, in this process or in so many loader processes.

    These are given ``make`` by pickle. Nothing depends on ``generator``, but without one the global state would move.
    ``pin`` puts tensors into memory from which a GPU copies while it computes.
    """
    loader = DataLoader(
        _Each(make), sampler=groups, batch_size=None, num_workers=workers, generator=generator, pin_memory=pin
    )  # fmt: skip
    for found in loader:
        if isinstance(found, ValueError):
            raise found
        yield found


class _Items:
    """Whole batches by their indices, of which ``own`` are done."""

    def __init__(self, data: TrainingPairs, tokenize: Tokenizer, this: Pass, seed: int, epoch: int, own: range) -> None:
        self.data, self.tokenize, self.this, self.seed, self.epoch, self.own = data, tokenize, this, seed, epoch, own

    def batch(self, everybody: Sequence[int]) -> Batch:
        indices = everybody[self.own.start : self.own.stop]
        ids = tuple(self.data.id(i) for i in indices)
        marks = [self.data.after_crop(i) for i in indices]
        images = [self.data.image(i) for i in indices]
        captions = [self.data.caption(i) for i in indices]
        views = self.this.image_views
        wordings = self.this.caption_views
        draws, again = list(ids), 0
        if self.this.again is not None:
            which = self.this.again.which(len(indices))
            again = len(which)
            indices = [*indices, *(indices[k] for k in which)]
            images += [self.this.again.picture(indices[k]) for k in which]
            captions += [captions[k] for k in which]
            marks += [marks[k] for k in which]
            draws += [f"{ids[k]} again" for k in which]
            ids += tuple(ids[k] for k in which)
        words = [self._word(w, v, draws[k], c) for v, w in enumerate(wordings) for k, c in enumerate(captions)]
        return Batch(
            ids=ids,
            indices=torch.tensor(indices),
            everybody=torch.tensor(everybody),
            images=tuple(
                torch.stack([self._view(view, v, draws[k], image, marks[k]) for k, image in enumerate(images)])
                for v, view in enumerate(views)
            ),
            texts=self.tokenize(words).chunk(len(wordings)) if words else (),
            again=again,
        )

    def _view(self, view: ImageView, number: int, pair_id: str, image: Tensor, mark: Mark | None) -> Tensor:
        seed = stream_seed(self.seed, "image view", self.epoch, pair_id, number)
        return view.apply(image, seed) if mark is None else view.apply(image, seed, mark)

    def _word(self, view: CaptionView, number: int, pair_id: str, caption: str) -> str:
        return view.apply(caption, stream_seed(self.seed, "caption view", view.drawn_in(self.epoch), pair_id, number))


def batches(
    data: TrainingPairs,
    tokenize: Tokenizer,
    this: Pass,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    workers: int = 0,
    start: int = 0,
    peers: Peers = ALONE,
    pin: bool = False,
) -> Iterator[Batch]:
    """The whole batches of one pass from batch ``start`` on, in the order of (seed, epoch, pass).

    They are the same for any number of workers and of processes: each process is given its part of every batch, in the
    order of ranks. ``pin`` puts them into memory from which a GPU copies while it computes.
    """
    order = this.indices[torch.randperm(len(this.indices), generator=torch_generator(seed, "order", this.name, epoch))]
    groups = order[: len(order) // batch_size * batch_size].view(-1, batch_size)[start:]
    items = _Items(data, tokenize, this, seed, epoch, peers.share(batch_size))
    generator = torch_generator(seed, "workers", epoch)
    return made(items.batch, groups.tolist(), workers=workers, generator=generator, pin=pin)
