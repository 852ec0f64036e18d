"""A method and an evaluator as a user writes them, with everything the contract offers: splits, a head, two passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from bezoar.core.records import Measure
from bezoar.core.settings import settings
from bezoar.data.captions import Plain as PlainCaption
from bezoar.data.pairs import Pairs
from bezoar.data.views import AutoAugment, Plain
from bezoar.evaluation import Context, Evaluation, Evaluator
from bezoar.losses import in_modal, info_nce
from bezoar.models.clip import Clip
from bezoar.training.batch import Batch, Features, apart, together
from bezoar.training.method import Method, Pass
from bezoar.training.schedule import Schedule
from bezoar.training.scorer import Scorer
from bezoar.training.state import State

if TYPE_CHECKING:
    import pyarrow as pa


class Halves(State):
    """The easy pairs of the epoch, how often a batch was seen, and a head on the images."""

    easy: Tensor
    seen: Tensor

    def __init__(self, model: Clip, pairs: int) -> None:
        super().__init__(model, pairs)
        self.head = nn.Linear(128, 4)
        self.register_buffer("easy", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(2))


@settings
class Split(Method):
    """The easy pairs learn from each other, the others only from themselves; more pairs are easy every epoch."""

    kind: ClassVar[str] = "split"
    epochs: int = 3
    batch_size: int = 8
    warmup_steps: int = 0
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "fp32"
    hard_lr: float = 1e-4

    def build(self, model: Clip, pairs: Pairs, seed: int) -> Halves:
        return Halves(model, len(pairs))

    def begin_epoch(self, state: Halves, epoch: int, scorer: Scorer) -> None:
        tried = scorer.cosines() + torch.rand(state.pairs)  # the global generator: the loop seeds it every epoch
        state.easy = tried.argsort(descending=True)[: 8 * (epoch + 1)].sort().values

    def passes(self, state: Halves, epoch: int) -> Sequence[Pass]:
        hard = torch.ones(state.pairs, dtype=torch.bool)
        hard[state.easy] = False
        return (
            Pass(
                name="easy", indices=state.easy, image_views=(Plain(),), caption_views=(PlainCaption(),),
                encode=together, loss=self.easy, schedule=Schedule(shape="constant", lr=self.lr, warmup=0, total=1),
            ),
            Pass(
                name="hard", indices=hard.nonzero().flatten(), image_views=(Plain(), AutoAugment()), caption_views=(),
                encode=apart, loss=self.hard,
                schedule=Schedule(shape="linear", lr=self.hard_lr, warmup=2, total=40, begin=1),
            ),
        )  # fmt: skip

    def easy(self, state: Halves, found: Features, batch: Batch) -> Mapping[str, Tensor]:
        state.seen[0] += 1
        return {
            "contrastive": info_nce(found.images[0], found.texts[0], state.model.scale),
            "head": state.head(found.images[0].own).square().mean(),
        }

    def hard(self, state: Halves, found: Features, batch: Batch) -> Mapping[str, Tensor]:
        state.seen[1] += 1
        return {"in_modal": in_modal(found.images[0], found.images[1], state.model.scale)}

    def diagnostics(self, state: Halves) -> Mapping[str, float | Tensor]:
        easy = torch.zeros(state.pairs)
        easy[state.easy] = 1
        return {"easy_share": len(state.easy) / state.pairs, "batches": float(state.seen.sum()), "easy": easy}


@settings
class Told(Evaluator):
    """What the method says of itself, as measures of every set."""

    kind: ClassVar[str] = "told"

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        assert not model.training
        numbers = {name: value for name, value in context.diagnostics.items() if isinstance(value, float)}
        easy = context.diagnostics.get("easy")
        if context.plan is not None and isinstance(easy, Tensor):
            numbers["poisoned_and_easy"] = float(easy[list(context.plan.replaced)].sum())
        found = tuple(
            Measure(metric=metric, value=value, low=value, high=value, n=len(images.labeled), data=name)
            for name, images in context.sets.items()
            for metric, value in numbers.items()
        )
        return Evaluation(found, {})

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        return ()
