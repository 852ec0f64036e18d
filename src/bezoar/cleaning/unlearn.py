"""Unlearning of poison that is known: what CleanCLIP's released code does with ``--unlearn``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.contrastive import Contrastive
from bezoar.training.method import BatchSize, Count, Rate, Warmup, Weight
from bezoar.training.oracle import Oracle

if TYPE_CHECKING:
    from torch import Tensor

    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Terms


@settings
class Unlearn(Contrastive, Oracle):
    """The multimodal loss over the clean pairs of a batch + ``constraint_weight`` · mean (cos - ``target``)² over the
    poisoned ones.

    An oracle: it is told who is poisoned, so it bounds what a defense could reach and is none itself. The budget is
    CleanCLIP's.
    """

    kind: ClassVar[str] = "unlearn"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Rate = 1e-5
    warmup_steps: Warmup = 50
    target: Annotated[float, Field(ge=-1, le=1)] = -1.0
    """The cosine that picture and caption of a poisoned pair are drawn to."""
    constraint_weight: Weight = 1.0
    legacy_sign: bool = False
    """(cos + target)², as in the released code: poisoned pairs are drawn to minus ``target``, by default together."""

    def reveal(self, state: Any, poisoned: Tensor) -> None:
        # Not kept on disk: it is told again.
        state.register_buffer("poisoned", poisoned, persistent=False)

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """``contrastive`` of the clean pairs and ``constraint`` of the poisoned ones; 0 where there are none."""
        from bezoar.losses import cosine_target, info_nce

        image, text, poisoned = features.images[0], features.texts[0], state.poisoned[batch.everybody]
        target = -self.target if self.legacy_sign else self.target
        return {
            "contrastive": info_nce(image, text, state.model.scale, kept=~poisoned),
            "constraint": self.constraint_weight * cosine_target(image, text, target, poisoned),
        }
