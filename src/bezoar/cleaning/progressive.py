"""Progressive removal: the pairs that the model finds most alike are left out of training, epoch by epoch.

What CleanCLIP's released code does with ``--progressive``: a model learns a backdoor faster than anything else, so its
pairs have the highest cosines.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.contrastive import Contrastive
from bezoar.training.method import BatchSize, Count, Rate, Warmup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.method import Pass
    from bezoar.training.scorer import Scorer
    from bezoar.training.state import State


@settings
class Progressive(Contrastive):
    """The multimodal loss on the pairs that are left; before an epoch the most alike of them are dropped for good.

    Every default is the released code's, whose budget is that of a pre-training.
    """

    kind: ClassVar[str] = "progressive"
    revision: ClassVar[int] = 2
    epochs: Count = 40
    """Where training ends, the released ``--stop_epoch``."""
    schedule_epochs: Count = 64
    """Over how many the learning rate is laid out, the released ``--epochs``; never fewer than ``epochs``."""
    batch_size: BatchSize = 128
    lr: Rate = 5e-4
    warmup_steps: Warmup = 10_000
    remove_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the pairs still there that is dropped at a time, rounded down."""
    progressive_epochs: tuple[Warmup, ...] | None = None
    """After how many epochs pairs are dropped, 0 for before the first; by default before every epoch."""

    def build(self, model: Clip, pairs: Pairs, seed: int) -> State:
        import torch

        from bezoar.training.state import State

        state = State(model, len(pairs))
        state.register_buffer("dropped", torch.full((len(pairs),), -1))
        return state

    def begin_epoch(self, state: Any, epoch: int, scorer: Scorer) -> None:
        """Drop what is most alike; of pairs that are equally so, the first ones."""
        if self._drops(epoch):
            kept = _kept(state).cpu()
            # The scale would be the same factor for all. Stable: ties go by position.
            order = scorer.cosines()[kept].argsort(descending=True, stable=True)
            state.dropped[kept[order[: self._count(len(kept))]]] = epoch

    def passes(self, state: Any, epoch: int) -> Sequence[Pass]:
        (whole,) = super().passes(state, epoch)
        schedule = dataclasses.replace(whole.schedule, total=self._scheduled(state.pairs))
        return (dataclasses.replace(whole, indices=_kept(state).cpu(), schedule=schedule),)

    def diagnostics(self, state: Any) -> Mapping[str, float | Tensor]:
        """``dropped``: the epoch (from 0) before which each pair was dropped, else -1; ``dropped_share`` of all."""
        return {"dropped": state.dropped, "dropped_share": float((state.dropped >= 0).float().mean())}

    def total_steps(self, pairs: int) -> int:
        """Steps of the whole training; raises ``ValueError`` where fewer pairs than a batch would be left."""
        *_, last = self._sizes(pairs, self.epochs)
        if last < self.batch_size and self.steps is None:
            raise ValueError(
                f"method.remove_fraction: {self.remove_fraction} leaves {last} of {pairs} pairs in the last epoch, "
                f"fewer than a batch of {self.batch_size}"
            )
        return self.steps if self.steps is not None else self._steps(pairs, self.epochs)

    def _scheduled(self, pairs: int) -> int:
        """The steps over which the learning rate is laid out."""
        return self.steps if self.steps is not None else self._steps(pairs, max(self.epochs, self.schedule_epochs))

    def _steps(self, pairs: int, epochs: int) -> int:
        return sum(self.steps_per_epoch(size) for size in self._sizes(pairs, epochs))

    def _sizes(self, pairs: int, epochs: int) -> Iterator[int]:
        """How many pairs there are in each epoch."""
        for epoch in range(epochs):
            pairs -= self._count(pairs) if self._drops(epoch) else 0
            yield pairs

    def _drops(self, epoch: int) -> bool:
        return self.progressive_epochs is None or epoch in self.progressive_epochs

    def _count(self, pairs: int) -> int:
        return int(self.remove_fraction * pairs)


def _kept(state: Any) -> Tensor:
    """Positions of the pairs that are left."""
    kept: Tensor = (state.dropped < 0).nonzero().flatten()
    return kept
