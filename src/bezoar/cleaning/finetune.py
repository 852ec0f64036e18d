"""Plain fine-tuning on clean pairs: the baseline every cleaning method is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.training.method import BatchSize, Count, Method, Pass, Positive, Warmup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.training.batch import Batch
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class Finetune(Method):
    """The multimodal contrastive loss alone, with the budget and learning rate of CleanCLIP."""

    kind: ClassVar[str] = "finetune"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Positive = 1e-5
    warmup_steps: Warmup = 50

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        return (self.whole_pass(state, (Plain(),), (PlainCaption(),), self.loss),)

    def loss(self, state: State, batch: Batch) -> Terms:
        """``contrastive``: symmetric InfoNCE of the batch."""
        from bezoar.losses import info_nce
        from bezoar.training.batch import encode

        features = encode(state.model, batch)
        return {"contrastive": info_nce(features.images[0], features.texts[0], state.model.scale)}
