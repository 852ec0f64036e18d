"""Attack success by class: which classes fall for the trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.attack_success import AttackSuccess
from bezoar.evaluation.base import Rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from bezoar.attacks.base import Aim
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs


@settings
class AttackSuccessByClass(AttackSuccess):
    """``asr_topK of CLASS``: the share among the triggered images of each class; the target itself is left out.

    Where an attack has several triggers, over all of those with another target.
    """

    kind: ClassVar[str] = "attack_success_by_class"
    revision: ClassVar[int] = 1
    top: tuple[Rank, ...] = (1,)

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        from bezoar.metrics import choices

        shown = self.taken(sets).items() if self.cases(aim) else ()
        return [
            (name, f"asr_top{k} of {word}")
            for name, labeled in shown
            for k in choices(self.top, len(labeled.classes))
            for word in labeled.classes
        ]

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import classes_of, fact, parts, to_measure
        from bezoar.metrics import choices, pooled, wilson, within

        found = list(parts(scores))
        whole = [part for part in found if not part.name] or found
        measures = []
        for k in choices(self.top, fact(scores, "classes")):
            for label, name in enumerate(classes_of(scores)):
                shown = [part.ranks[part.labels == label] for part in whole if part.target != label]
                rates = [wilson(within(ranks, k), len(ranks)) for ranks in shown if len(ranks)]
                if rates:
                    measures.append(to_measure(f"asr_top{k} of {name}", pooled(rates), data))
        return tuple(measures)
