"""Plain multimodal contrastive training: what pre-training with CLIP and fine-tuning with it have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.captions import AnyCaptionView
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AnyImageView, Plain
from bezoar.training.method import Method, Pass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Terms
    from bezoar.training.state import State


def check_towers(model: Clip) -> None:
    """Raise ``ValueError`` for a model that a contrastive loss would not train whole, or whose scale is no number."""
    if hasattr(model.tower, "text_decoder"):
        raise ValueError(
            f"kind: trains an image and a text tower; {model.architecture} has a caption decoder too, which would be "
            "left behind"
        )
    shape = getattr(getattr(model.tower, "logit_scale", None), "shape", None)
    if shape != ():
        found = "none" if shape is None else f"one of shape {list(shape)}"
        raise ValueError(f"kind: needs a logit scale that is one number; {model.architecture} has {found}")


@settings
class Contrastive(Method):
    """Pairs, as they are unless views are named, and symmetric InfoNCE over the batch."""

    added: ClassVar[frozenset[str]] = Method.added | {"image_view", "caption_view"}

    image_view: AnyImageView = Plain()
    """What stands in each epoch in the place of a picture, drawn anew."""
    caption_view: AnyCaptionView = PlainCaption()
    """What stands in each epoch in the place of a caption."""

    def check(self, model: Clip) -> None:
        check_towers(model)

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        from bezoar.training.batch import together

        return (self.whole_pass(state, (self.image_view,), (self.caption_view,), together, self.loss),)

    def loss(self, state: State, features: Features, batch: Batch) -> Terms:
        """``contrastive``: symmetric InfoNCE of the batch."""
        from bezoar.losses import info_nce

        return {"contrastive": info_nce(features.images[0], features.texts[0], state.model.scale)}
