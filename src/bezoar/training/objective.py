"""What a method learns from pairs, apart from how long and how fast: views, encoding, loss, and the heads it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bezoar.core.settings import Settings, settings
from bezoar.data.captions import AnyCaptionView, CaptionView
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.views import AnyImageView, ImageView, Plain
from bezoar.training.contrastive import check_towers

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Features
    from bezoar.training.method import Encode, Terms
    from bezoar.training.state import State


@settings
class Objective(Settings):
    """A loss that a method can go on with while it does something else beside it."""

    @property
    def image_views(self) -> tuple[ImageView, ...]:
        """Those of each picture in a batch."""
        raise NotImplementedError

    @property
    def caption_views(self) -> tuple[CaptionView, ...]:
        """Those of each caption in a batch."""
        raise NotImplementedError

    @property
    def sees_pictures(self) -> bool:
        """Whether pictures take part in the loss."""
        return True

    def check_changeable(self) -> None:
        """Raise ``ValueError`` where pictures cannot be changed so that the loss rises."""
        if not self.sees_pictures:
            raise ValueError("objective: no term of it sees a picture, so that none can be changed against it")

    def check_model(self, model: Clip) -> None:
        """Raise ``ValueError`` for a model that this loss cannot train."""
        check_towers(model)

    def check_data(self, pairs: Pairs) -> None:
        """Raise ``ValueError`` for pairs that this loss cannot be computed on."""

    def begin(self, model: Clip, pairs: int, seed: int) -> State:
        """The state of a training: the model and what else the loss changes."""
        from bezoar.training.state import State

        return State(model, pairs)

    def tutor(self, state: Any, teacher: Clip) -> State:
        """What the loss of a teacher is computed with, beside the ``state`` of its pupil: nothing of it changes."""
        from bezoar.training.state import State

        return State(teacher, state.pairs).eval()

    def encoder(self, epoch: int) -> Encode:
        """What encodes the batches of epoch ``epoch``."""
        from bezoar.training.batch import together

        return together

    def terms(self, state: Any, features: Features) -> Terms:
        """The named, weighted terms, from what the state holds; it is left as it is."""
        raise NotImplementedError

    def remember(self, state: Any, features: Features) -> None:
        """Put into the state what later batches are to know of this one."""


@settings
class ClipLoss(Objective):
    """Symmetric InfoNCE over pairs as they are, unless views are named."""

    kind: ClassVar[str] = "clip"
    image_view: AnyImageView = Plain()
    caption_view: AnyCaptionView = PlainCaption()

    @property
    def image_views(self) -> tuple[ImageView, ...]:
        return (self.image_view,)

    @property
    def caption_views(self) -> tuple[CaptionView, ...]:
        return (self.caption_view,)

    def terms(self, state: State, features: Features) -> Terms:
        """``contrastive``."""
        from bezoar.losses import info_nce

        return {"contrastive": info_nce(features.images[0], features.texts[0], state.model.scale)}
