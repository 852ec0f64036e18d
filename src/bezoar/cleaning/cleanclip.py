"""CleanCLIP: fine-tuning with in-modal terms that make each tower learn on its own (Bansal et al. 2023, §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.captions import AnyCaptionView, Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AnyImageView, AutoAugment, Plain
from bezoar.training.method import BatchSize, Count, Method, Pass, Positive, Warmup, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.training.batch import Batch
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class CleanCLIP(Method):
    """``clip_weight`` · multimodal + ``in_modal_weight`` · mean of the image and the text in-modal term.

    The optimizer is fresh: no moments, decay or step count come over from pre-training. Caption views are drawn anew
    each epoch; the released code drew them once for the whole run.
    """

    kind: ClassVar[str] = "cleanclip"
    epochs: Count = 10
    batch_size: BatchSize = 64
    lr: Positive = 1e-5
    warmup_steps: Warmup = 50
    clip_weight: Weight = 1.0
    in_modal_weight: Weight = 1.0
    image_view: AnyImageView = AutoAugment()
    caption_view: AnyCaptionView = Eda()
    joint_views: bool = True
    """Both image views in one forward: batch normalization then mixes their statistics, as in the released code."""

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        images, captions = (Plain(), self.image_view), (PlainCaption(), self.caption_view)
        return (self.whole_pass(state, images, captions, self.loss),)

    def loss(self, state: State, batch: Batch) -> Terms:
        """``contrastive``, ``in_modal_image`` and ``in_modal_text``, each with its weight."""
        from bezoar.losses import in_modal, info_nce
        from bezoar.training.batch import encode

        features = encode(state.model, batch, self.joint_views)
        (image, image_view), (text, text_view) = features.images, features.texts
        scale, half = state.model.scale, self.in_modal_weight / 2
        return {
            "contrastive": self.clip_weight * info_nce(image, text, scale),
            "in_modal_image": half * in_modal(image, image_view, scale),
            "in_modal_text": half * in_modal(text, text_view, scale),
        }
