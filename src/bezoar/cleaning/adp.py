"""The defense of backdoored DeCLIP ("ours_adp"): a fine-tuned teacher, adversarial pictures, noise on large crops."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from bezoar.core.settings import settings
from bezoar.data import AnyPairsSource
from bezoar.data.views import AnyImageView, ImageView, MocoNoise
from bezoar.training.declip import DeclipLoss
from bezoar.training.distilled import AnyObjective, Distilled
from bezoar.training.method import Again, Count, Positive, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from bezoar.core.frame import Frame
    from bezoar.data.pairs import Pairs
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch
    from bezoar.training.method import Encode, Pass


@settings
class ADP(Distilled):
    """NAD over one and a half batches: half of the pairs come again, their pictures changed against the teacher.

    Each part can be left out: ``beta: 0`` the teacher's attention, ``repeated: 0`` the half batch, ``attack_steps: 0``
    what is adversarial about it, ``image_view: null`` the noise.
    """

    kind: ClassVar[str] = "adp"
    steps: Count | None = 1500
    objective: AnyObjective = DeclipLoss()
    image_view: AnyImageView | None = MocoNoise()
    """What stands in the place of the objective's image view, which ``null`` leaves as it is."""
    repeated: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the pairs of a batch that come again."""
    pictures: AnyPairsSource | None = None
    """Where the pictures that come again are, by the id of the pair, as ``bezoar data adversarial`` writes them: made
    once, before any view. By default they are made in each step, of views."""
    attack_steps: Annotated[int, Field(ge=0)] = 5
    """Of the momentum iterative attack on the teacher; with 0 pictures come again as they are."""
    attack_decay: Weight = 0.9
    attack_step: Positive = 0.05
    """As a share of the span of values of a channel; beyond ``attack_bound``, as here, every step ends at the bound."""
    attack_bound: Positive = 0.0125
    """How far a value may move, as a share of that span."""

    @model_validator(mode="after")
    def _check_chunks(self) -> ADP:
        if self.chunk_size is not None and self.repeated and self.pictures is None:
            raise ValueError(
                f"chunk_size: {self.chunk_size} pairs at a time could not be those that come again, which are changed "
                "in each step (choices: null; or name pictures that were changed before)"
            )
        return self

    @property
    def image_views(self) -> tuple[ImageView, ...]:
        own = super().image_views
        return own if self.image_view is None else (self.image_view,) * len(own)

    @property
    def _attacks(self) -> bool:
        """Whether pictures are changed in the steps of the training, against the loss of the teacher."""
        return bool(self.repeated and self.attack_steps and self.pictures is None)

    def check(self, model: Clip) -> None:
        if self._attacks:
            self.objective.check_changeable()
        super().check(model)

    def check_pairs(self, pairs: Pairs) -> None:
        super().check_pairs(pairs)
        if self.pictures is None:
            return
        try:
            places = _Others(self.pictures.open(), pairs).places
        except ValueError as error:
            raise ValueError(f"pictures.{error}") from None
        missing = [pairs.id(index) for index, place in enumerate(places) if place is None]
        if missing:
            read = "" if len(missing) < len(pairs) else "; what bezoar data adversarial wrote is read with id_key: id"
            raise ValueError(
                f"pictures: {len(missing):,} of {len(pairs):,} pairs have none (first: '{missing[0]}'){read}"
            )

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Any:
        state: Any = super().build(model, pairs, seed)
        if self.pictures is not None:
            others = _Others(self.pictures.open(), pairs)
            state.again = Again(share=self.repeated, picture=partial(others.picture, frame=model.frame))
        return state

    def passes(self, state: Any, epoch: int) -> Sequence[Pass]:
        (whole,) = super().passes(state, epoch)
        return (replace(whole, again=state.again) if self.pictures is not None else whole,)

    def teach(self, state: Any, teacher: Any) -> None:
        super().teach(state, teacher)
        if self._attacks:
            state.tutors = [self.objective.tutor(state, teacher)]

    def enlarged(self, base: Encode, state: Any, batch: Batch) -> Batch:
        """Pairs evenly over the batch come again: their order is drawn anew each epoch."""
        import torch

        from bezoar.training.adversarial import adversarial

        count = round(self.repeated * len(batch))
        if not count or self.pictures is not None:
            return batch
        again = batch.evenly(count)
        tutor: Any = state.tutors[0] if self._attacks else None

        def loss(images: tuple[Tensor, ...]) -> Tensor:
            terms = self.objective.terms(tutor, base(tutor, replace(again, images=images)))
            return torch.stack([term.float() for term in terms.values()]).sum()

        images = adversarial(
            again.images, loss, steps=self.attack_steps, decay=self.attack_decay, step=self.attack_step,
            bound=self.attack_bound,
        )  # fmt: skip
        return replace(
            batch,
            ids=(*batch.ids, *again.ids),
            indices=torch.cat([batch.indices, again.indices]),
            images=tuple(torch.cat([view.float(), other]) for view, other in zip(batch.images, images, strict=True)),
            texts=tuple(torch.cat([view, other]) for view, other in zip(batch.texts, again.texts, strict=True)),
            again=count,
        )


class _Others:
    """Other pictures of the pairs, found by id; a pair that has none, as one that an attacker adds, shows its own."""

    def __init__(self, pictures: Pairs, pairs: Pairs) -> None:
        by_id = {pictures.id(index): index for index in range(len(pictures))}
        self.pictures, self.pairs = pictures, pairs
        self.places = [by_id.get(pairs.id(index)) for index in range(len(pairs))]

    def picture(self, index: int, frame: Frame) -> Tensor:
        """That of pair ``index`` as the model sees it before any view."""
        from bezoar.data.images import load_framed

        place = self.places[index]
        return load_framed(self.pairs, index, frame) if place is None else load_framed(self.pictures, place, frame)
