"""Whether a trigger reaches the model on the pictures it is measured on: what a success rate of zero may hide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.evaluation.attack_success import AttackSuccess
from bezoar.evaluation.base import Evaluation
from bezoar.evaluation.pictures import Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from bezoar.attacks.base import Aim
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip


@settings
class TriggerSurvival(AttackSuccess):
    """``survival``: mean share of the trigger's area that the model gets; ``survival_zero``: share of pictures on
    which it gets nothing.

    Over at most ``limit`` pictures of each set, spread evenly. Where an attack has several triggers, of the first.
    """

    kind: ClassVar[str] = "trigger_survival"
    revision: ClassVar[int] = 1
    limit: Annotated[int, Field(ge=2)] = 512

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        import pyarrow as pa
        import torch

        from bezoar.attacks.plan import Mark
        from bezoar.attacks.survival import look_at
        from bezoar.data.images import to_tensor

        looks = [case.look for case in self.cases(context.aim)[:1]]
        scores = {}
        for look in looks:
            assert look.trigger is not None
            mark = Mark(look.trigger, look.stage)
            for name, images in self.taken(context.sets).items():
                labeled, count = images.labeled, min(self.limit, len(images.labeled))
                places = [i * len(labeled) // count for i in range(count)]
                own = [
                    look_at(to_tensor(labeled.image(i)), labeled.id(i), mark, model.frame).share
                    for i in (places[number] for number in context.peers.share(count))
                ]
                shares = context.peers.collect(torch.tensor(own, dtype=torch.float64, device=model.device), count)
                scores[name] = pa.table({"id": [labeled.id(i) for i in places], "survival": shares.tolist()})
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        return ()

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        shown = self.taken(sets) if self.cases(aim) else ()
        return [(name, metric) for name in shown for metric in ("survival", "survival_zero")]

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import to_measure
        from bezoar.metrics import Interval, student_t, wilson

        shares = scores["survival"].to_pylist()
        mean = student_t(shares) if len(shares) > 1 else Interval(shares[0], 0.0, 1.0, 1)
        return (
            to_measure("survival", Interval(mean.value, max(0.0, mean.low), min(1.0, mean.high), mean.n), data),
            to_measure("survival_zero", wilson(shares.count(0.0), len(shares)), data),
        )
