"""Training on pairs and an augmented view of each: what MMCL+SSL pre-training and CleanCLIP have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bezoar.core.settings import settings
from bezoar.data.captions import AnyCaptionView, CaptionView, Eda
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AnyImageView, AutoAugment, ImageView, Plain
from bezoar.training.contrastive import check_towers
from bezoar.training.method import Method, Pass, Weight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from bezoar.core.rows import Rows
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Terms
    from bezoar.training.state import State


@settings
class InModal(Method):
    """In-modal terms beside an image–text loss: each tower learns on its own to know a pair by an augmented view.

    Caption views are drawn anew each epoch; the released code drew them once for the whole run, which
    ``caption_view: {kind: eda, frozen: true}`` does too.
    """

    in_modal_weight: Weight = 0.0
    """Of the mean of the image and the text in-modal term; with 0 no views are made."""
    in_modal: Literal["one_way", "symmetric"] = "one_way"
    """``one_way``: originals find their views, as in the released code; ``symmetric``: views find their originals too,
    and the term is the mean of both."""
    image_view: AnyImageView = AutoAugment()
    caption_view: AnyCaptionView = Eda()
    joint_views: bool = True
    """Both image views in one forward: batch normalization then mixes their statistics, as in the released code."""

    def check(self, model: Clip) -> None:
        check_towers(model)

    def views(self) -> tuple[ImageView | CaptionView, ...]:
        return super().views() if self.in_modal_weight else ()

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        from bezoar.training.batch import apart, together

        views = 2 if self.in_modal_weight else 1
        images, captions = (Plain(), self.image_view)[:views], (PlainCaption(), self.caption_view)[:views]
        return (self.whole_pass(state, images, captions, together if self.joint_views else apart, self.loss),)

    def loss(self, state: State, features: Features, batch: Batch) -> Terms:
        """``in_modal_image`` and ``in_modal_text``, each with its weight; none without a weight."""
        from bezoar.losses import in_modal, info_nce

        if not self.in_modal_weight:
            return {}
        (image, image_view), (text, text_view) = features.images, features.texts
        scale, half = state.model.scale, self.in_modal_weight / 2
        find: Callable[[Rows, Rows, Tensor], Tensor] = info_nce if self.in_modal == "symmetric" else in_modal
        return {
            "in_modal_image": half * find(image, image_view, scale),
            "in_modal_text": half * find(text, text_view, scale),
        }


@settings
class TwoViews(InModal):
    """``clip_weight`` · multimodal + ``in_modal_weight`` · mean of the image and the text in-modal term."""

    clip_weight: Weight = 1.0
    in_modal_weight: Weight = 1.0

    def loss(self, state: State, features: Features, batch: Batch) -> Terms:
        """``contrastive``, ``in_modal_image`` and ``in_modal_text``, each with its weight."""
        from bezoar.losses import info_nce

        contrastive = info_nce(features.images[0], features.texts[0], state.model.scale)
        return {"contrastive": self.clip_weight * contrastive, **super().loss(state, features, batch)}
