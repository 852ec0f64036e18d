"""From pairs, plan and views to batches: every picture decoded once per step, every draw named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset

from bezoar.core.seeds import stream_seed, torch_generator
from bezoar.data.pairs import check_caption
from bezoar.training.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.captions import CaptionView
    from bezoar.data.pairs import Pairs, Pixels
    from bezoar.data.prepared import Pictures
    from bezoar.data.views import ImageView
    from bezoar.models.tokenizer import Tokenizer
    from bezoar.training.method import Pass


class TrainingPairs:
    """Pairs as an attacker left them: the plan, where there is one, is applied on the way out."""

    def __init__(self, pairs: Pairs, prepared: Pictures, plan: PoisonPlan | None = None) -> None:
        self.pairs = pairs
        self.prepared = prepared
        self.plan = plan
        if plan is not None and plan.source != pairs.fingerprint:
            raise ValueError(
                f"poison: the plan was made for pairs {plan.source}, these are {pairs.fingerprint}: plan again"
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def image(self, index: int) -> Tensor:
        """uint8 ``[3, S, S]`` before any view."""
        if self.plan is None or self.pairs.id(index) not in self.plan.by_id:
            return self.prepared[index]
        if self.plan.stage == "file":
            return self.plan.load(self.pairs, index, self.prepared.size)
        row = self.plan.by_id[self.pairs.id(index)]
        return self.plan.triggers[row.trigger].apply(self.prepared[index], row.id)

    def caption(self, index: int) -> str:
        """The caption before any view."""
        pair_id = self.pairs.id(index)
        caption = check_caption(self.pairs.caption(index), "pairs", pair_id)
        return self.plan.caption(pair_id, caption) if self.plan else caption


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
        return self._data.pairs.id(index)

    def image(self, index: int) -> Pixels:
        pixels: Pixels = self._data.image(index).permute(1, 2, 0).numpy()
        return pixels

    def caption(self, index: int) -> str:
        return self._data.caption(index)


class _Items(Dataset[Batch | ValueError]):
    """Whole batches by their indices, so that a worker does a batch in one go."""

    def __init__(self, data: TrainingPairs, tokenize: Tokenizer, this: Pass, seed: int, epoch: int) -> None:
        self.data, self.tokenize, self.this, self.seed, self.epoch = data, tokenize, this, seed, epoch

    def __getitem__(self, indices: Sequence[int]) -> Batch | ValueError:
        try:
            return self._batch(indices)
        except ValueError as error:
            # Handed over, not raised: the loader would wrap its one line into a worker's traceback.
            return error

    def _batch(self, indices: Sequence[int]) -> Batch:
        ids = tuple(self.data.pairs.id(i) for i in indices)
        images = [self.data.image(i) for i in indices]
        captions = [self.data.caption(i) for i in indices]
        views = self.this.image_views
        wordings = self.this.caption_views
        words = [self._word(w, v, ids[k], c) for v, w in enumerate(wordings) for k, c in enumerate(captions)]
        return Batch(
            ids=ids,
            indices=torch.tensor(indices),
            images=tuple(
                torch.stack([self._view(view, v, ids[k], image) for k, image in enumerate(images)])
                for v, view in enumerate(views)
            ),
            texts=self.tokenize(words).chunk(len(wordings)) if words else (),
        )

    def _view(self, view: ImageView, number: int, pair_id: str, image: Tensor) -> Tensor:
        return view.apply(image, stream_seed(self.seed, "image view", self.epoch, pair_id, number))

    def _word(self, view: CaptionView, number: int, pair_id: str, caption: str) -> str:
        return view.apply(caption, stream_seed(self.seed, "caption view", self.epoch, pair_id, number))


def batches(
    data: TrainingPairs,
    tokenize: Tokenizer,
    this: Pass,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    workers: int = 0,
) -> Iterator[Batch]:
    """The whole batches of one pass in the order of (seed, epoch, pass), the same for any number of workers."""
    order = this.indices[torch.randperm(len(this.indices), generator=torch_generator(seed, "order", this.name, epoch))]
    groups = order[: len(order) // batch_size * batch_size].view(-1, batch_size).tolist()
    items = _Items(data, tokenize, this, seed, epoch)
    # A generator of its own: the default would draw its base seed from global state.
    loader = DataLoader(
        items, sampler=groups, batch_size=None, num_workers=workers, generator=torch_generator(seed, "workers", epoch)
    )
    for found in loader:
        if isinstance(found, ValueError):
            raise found
        yield found
