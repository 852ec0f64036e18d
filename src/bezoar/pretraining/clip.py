"""CLIP pre-training: symmetric InfoNCE over pairs (Radford et al. 2021, §2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import Plain
from bezoar.training.method import Method, Pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.training.batch import Batch
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class ClipPretraining(Method):
    """Multimodal contrastive learning without augmentation; defaults are CleanCLIP's pre-training (its §4)."""

    kind: ClassVar[str] = "clip"

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        return (self.whole_pass(state, (Plain(),), (PlainCaption(),), self.loss),)

    def loss(self, state: State, batch: Batch) -> Terms:
        """``contrastive``: symmetric InfoNCE of the batch."""
        from bezoar.losses import info_nce
        from bezoar.training.batch import encode

        features = encode(state.model, batch)
        return {"contrastive": info_nce(features.images[0], features.texts[0], state.model.scale)}
