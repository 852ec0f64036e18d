"""The defense of backdoored DeCLIP ("ours_adp"): a fine-tuned teacher, adversarial pictures, noise on large crops."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from bezoar.core.settings import settings
from bezoar.data import AnyPairsSource
from bezoar.data.views import MocoNoise
from bezoar.training.declip import DeclipLoss
from bezoar.training.distilled import AnyObjective, Distilled
from bezoar.training.method import Again, Count, Positive, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from bezoar.data.pairs import Pairs
    from bezoar.data.prepared import Prepared
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch
    from bezoar.training.method import Encode, Pass


@settings
class ADP(Distilled):
    """NAD over one and a half batches: half of the pairs come again, their pictures changed against the teacher.

    Each part can be left out: ``beta: 0`` the teacher's attention, ``repeated: 0`` the half batch, ``attack_steps: 0``
    what is adversarial about it, an objective with another view the noise.
    """

    kind: ClassVar[str] = "adp"
    steps: Count | None = 1500
    objective: AnyObjective = DeclipLoss(image_view=MocoNoise())
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

    def check_pairs(self, pairs: Pairs) -> None:
        super().check_pairs(pairs)
        if self.pictures is not None:
            self._places(pairs)

    def _places(self, pairs: Pairs) -> list[int]:
        """Where in ``pictures`` that of each pair is; raises ``ValueError`` where one has none."""
        assert self.pictures is not None
        there = self.pictures.open()
        by_id = {there.id(index): index for index in range(len(there))}
        ids = [pairs.id(index) for index in range(len(pairs))]
        missing = [name for name in ids if name not in by_id]
        if missing:
            raise ValueError(f"pictures: {len(missing):,} of {len(ids):,} pairs have none (first: '{missing[0]}')")
        return [by_id[name] for name in ids]

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Any:
        state = super().build(model, pairs, seed)
        if self.pictures is not None:
            from bezoar.data.prepared import Prepared

            others = Prepared(self.pictures.open(), model.frame)
            state.__dict__["again"] = Again(share=self.repeated, picture=_Others(others, self._places(pairs)))
        return state

    def passes(self, state: Any, epoch: int) -> Sequence[Pass]:
        (whole,) = super().passes(state, epoch)
        return (replace(whole, again=state.again) if self.pictures is not None else whole,)

    def teach(self, state: Any, teacher: Any) -> None:
        super().teach(state, teacher)
        state.tutors = [self.objective.tutor(state, teacher)]

    def enlarged(self, base: Encode, state: Any, batch: Batch) -> Batch:
        """Pairs evenly over the batch come again: their order is drawn anew each epoch."""
        import torch

        from bezoar.training.adversarial import adversarial

        count = round(self.repeated * len(batch))
        if not count or self.pictures is not None:
            return batch
        again = batch.evenly(count)
        (tutor,) = state.tutors

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
    """Other pictures of the pairs, by the position of the pair."""

    def __init__(self, pictures: Prepared, places: list[int]) -> None:
        self.pictures, self.places = pictures, places

    def __call__(self, index: int) -> Tensor:
        return self.pictures[self.places[index]]
