"""Cleaning with a teacher that shows where to look: what NAD and the defense of backdoored DeCLIP have in common."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from bezoar.core.settings import Family, settings
from bezoar.training.continued import Continued
from bezoar.training.declip import DeclipLoss
from bezoar.training.method import BatchSize, Count, Positive, Rate, Warmup, Weight
from bezoar.training.objective import ClipLoss, Objective
from bezoar.training.taught import Taught, check_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from bezoar.data.captions import CaptionView
    from bezoar.data.pairs import Pairs
    from bezoar.data.views import ImageView
    from bezoar.models.clip import Clip
    from bezoar.training.batch import Batch, Features
    from bezoar.training.method import Encode, Pass, Terms
    from bezoar.training.state import State

StageNumber = Annotated[int, Field(ge=1, le=4)]
OBJECTIVES = Family("objective", Objective, (ClipLoss, DeclipLoss))
AnyObjective = Annotated[Objective, OBJECTIVES]


@settings
class Distilled(Continued, Taught):
    """A loss over pairs + ``beta`` · the difference between where the model and its teacher look.

    Attention maps are those of Zagoruyko & Komodakis 2017, of stages of the image tower and of every image view.
    Rates are those of the code of the backdoor attack on DeCLIP, which goes on within DeCLIP's own schedule.
    """

    batch_size: BatchSize = 512
    lr: Rate = 1e-3
    warmup_steps: Warmup = 2500
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.98
    schedule_at: Annotated[int, Field(ge=0)] = 118_000
    schedule_steps: Count | None = 138_001
    objective: AnyObjective = ClipLoss()
    """What is learned from the pairs beside."""
    beta: Weight = 1.0
    """With 0 there is no attention term, though there is a teacher."""
    power: Positive = 2.0
    """To which activations are raised in a map."""
    stages: Annotated[tuple[StageNumber, ...], Field(min_length=1)] = (1, 2, 3, 4)
    """Whose maps are compared: of a ResNet's stages, or of the last blocks of a transformer's quarters, from 1 on."""

    @model_validator(mode="after")
    def _check_stages(self) -> Distilled:
        if len(set(self.stages)) < len(self.stages):
            raise ValueError(f"stages: each stands once, got {list(self.stages)}")
        return self

    @model_validator(mode="after")
    def _check_epochs(self) -> Distilled:
        default = {field.name: field.default for field in fields(self)}
        if self.steps is not None and self.steps == default["steps"] and self.epochs != default["epochs"]:
            raise ValueError(
                f"epochs: {self.epochs} do not count beside the {self.steps:,} of steps, which are the default "
                "(choices: steps: none)"
            )
        return self

    @property
    def image_views(self) -> tuple[ImageView, ...]:
        """Those of each picture in a batch."""
        return self.objective.image_views

    def check(self, model: Clip) -> None:
        from bezoar.models.stages import stages

        try:
            self.objective.check_model(model)
        except ValueError as error:
            raise ValueError(f"objective.{error}") from None
        count = len(stages(model))
        if max(self.stages) > count:
            raise ValueError(
                f"stages: {max(self.stages)} is none of {model.architecture} "
                f"(choices: {', '.join(map(str, range(1, count + 1)))})"
            )

    def check_pairs(self, pairs: Pairs) -> None:
        super().check_pairs(pairs)
        try:
            self.objective.check_data(pairs)
        except ValueError as error:
            raise ValueError(f"objective.{error}") from None

    def build(self, model: Clip, pairs: Pairs, seed: int) -> State:
        return self.objective.begin(model, len(pairs), seed)

    def teach(self, state: Any, teacher: Clip) -> None:
        check_alike(state.model, teacher)
        state.teachers = [teacher.requires_grad_(False)]  # in a list: it is no part of what training changes

    def views(self) -> tuple[ImageView | CaptionView, ...]:
        return tuple(dict.fromkeys((*self.image_views, *self.objective.caption_views)))

    def passes(self, state: State, epoch: int) -> Sequence[Pass]:
        whole = self.whole_pass(
            state, self.image_views, self.objective.caption_views,
            partial(self._encode, self.objective.encoder(epoch)), self.loss,
        )  # fmt: skip
        return (self.laid_out(whole),)

    def enlarged(self, base: Encode, state: Any, batch: Batch) -> Batch:
        """The pairs that are learned from in the place of ``batch``."""
        return batch

    def _encode(self, base: Encode, state: Any, batch: Batch) -> Features:
        import torch

        from bezoar.models.stages import watched

        batch = self.enlarged(base, state, batch)
        if not self.beta:
            return base(state, batch)
        with watched(state.model) as seen:
            features = base(state, batch)
        (teacher,) = state.teachers
        with torch.no_grad(), watched(teacher) as wanted:
            teacher.image_features(torch.cat(batch.images))
        views = len(batch.images)
        maps = {f"seen {number}": self._maps(seen[number - 1], views) for number in self.stages}
        maps |= {f"wanted {number}": self._maps(wanted[number - 1], views) for number in self.stages}
        return replace(features, others={**features.others, **maps})

    def _maps(self, batches: Sequence[Tensor], views: int) -> Tensor:
        """The maps of one stage, ``[n, views, places]``."""
        import torch

        from bezoar.losses import attention_map

        return torch.stack(attention_map(torch.cat(list(batches)), self.power).chunk(views), dim=1)

    def loss(self, state: Any, features: Features, batch: Batch) -> Terms:
        """The terms of the objective, and ``attention`` with its weight."""
        from bezoar.losses import attention_transfer

        terms = self.objective.terms(state, features)
        self.objective.remember(state, features)
        if not self.beta:
            return terms
        found, each = features.others, list[Any]()
        for number in self.stages:
            seen, wanted = found[f"seen {number}"], found[f"wanted {number}"]
            each += [attention_transfer(seen[:, view], wanted[:, view]) for view in range(seen.shape[1])]
        return {**terms, "attention": self.beta * sum(each[1:], each[0])}
