"""What attack-cleanclip's code calls SigLIP: a pairwise sigmoid loss without bias, averaged over all n² pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.training.method import BatchSize, Rate, Weight
from bezoar.training.two_views import InModal

if TYPE_CHECKING:
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class LegacySigLIP(InModal):
    """``siglip_weight`` · that loss, by default without in-modal terms; the scale begins and is clamped as CLIP's."""

    kind: ClassVar[str] = "legacy_siglip"
    siglip_weight: Weight = 0.1
    batch_size: BatchSize = 2048
    lr: Rate = 1e-3

    def loss(self, state: State, features: Features, batch: Batch) -> Terms:
        """``sigmoid`` and the in-modal terms, each with its weight."""
        from bezoar.losses import legacy_siglip

        sigmoid = legacy_siglip(features.images[0], features.texts[0], state.model.scale)
        return {"sigmoid": self.siglip_weight * sigmoid, **super().loss(state, features, batch)}
