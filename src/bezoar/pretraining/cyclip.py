"""CyCLIP: CLIP with two terms that make the cosines of pairs agree (Goel et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.training.method import Weight
from bezoar.training.two_views import TwoViews

if TYPE_CHECKING:
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class CyCLIP(TwoViews):
    """``clip_weight`` · multimodal + ``cyclic_in_modal`` · L_in + ``cyclic_cross_modal`` · L_cross.

    L_in: two pictures are as near to each other as their captions; L_cross: a picture is as near to another's caption
    as its caption to the other picture. ``in_modal_weight`` adds the in-modal terms of MMCL+SSL.
    """

    kind: ClassVar[str] = "cyclip"
    cyclic_in_modal: Weight = 0.25
    cyclic_cross_modal: Weight = 0.25
    in_modal_weight: Weight = 0.0
    """Of the mean of the image and the text in-modal term; with 0 no views are made."""

    def loss(self, state: State, features: Features, batch: Batch) -> Terms:
        """``contrastive``, the in-modal terms, ``cyclic_in_modal`` and ``cyclic_cross_modal``, each with its weight."""
        from bezoar.losses import cyclic_cross_modal, cyclic_in_modal

        image, text = features.images[0], features.texts[0]
        return {
            **super().loss(state, features, batch),
            "cyclic_in_modal": self.cyclic_in_modal * cyclic_in_modal(image, text),
            "cyclic_cross_modal": self.cyclic_cross_modal * cyclic_cross_modal(image, text),
        }
