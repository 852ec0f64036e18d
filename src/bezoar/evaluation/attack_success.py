"""Attack success rate: triggered images of other classes that are taken for the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.base import Stage, Threat
from bezoar.attacks.triggers import AnyTrigger
from bezoar.core.settings import settings
from bezoar.data.pairs import class_index
from bezoar.evaluation.base import Evaluation, Evaluator, Look, Rank, wordings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip


@settings
class AttackSuccess(Evaluator):
    """``asr_topK``: share of triggered images whose true class is not the target that have it among their top K.

    The trigger and its target are the plan's, unless they are named here. Images of the target class count neither
    above nor below the line. Without a threat nothing is measured.
    """

    kind: ClassVar[str] = "attack_success"
    revision: ClassVar[int] = 2
    top: tuple[Rank, ...] = (1, 5, 10)
    templates: str | tuple[str, ...] = "auto"
    trigger: AnyTrigger | None = None
    target: str | None = None
    stage: Stage = "model"
    """Where a trigger named here is put on; the plan's own has its own stage."""

    def threat(self, given: Threat | None) -> Threat | None:
        """The threat measured: the one named in the fields, else ``given``."""
        trigger = self.trigger or (given.trigger if given else None)
        target = self.target or (given.target if given else None)
        if trigger is None or target is None:
            return None
        return Threat(trigger, target, self.stage if self.trigger or not given else given.stage)

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        from bezoar.evaluation.tables import labels_of, table
        from bezoar.metrics import rank_of

        threat = self.threat(context.threat)
        if threat is None:
            return Evaluation((), {})
        scores = {}
        for name, images in context.sets.items():
            labels, target = labels_of(images.labeled), class_index(threat.target, images.labeled.classes)
            cosines = context.cosines(model, name, self.templates, Look.under(threat))
            ranks = rank_of(cosines, labels.new_full(labels.shape, target))
            scores[name] = table(images.labeled, labels, cosines.argmax(1), ranks, target=target)
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def looks(self, threat: Threat | None) -> tuple[Look, ...]:
        measured = self.threat(threat)
        return (Look.under(measured),) if measured else ()

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import column, fact, to_measure
        from bezoar.metrics import attack_success, choices

        ranks, labels, target = column(scores, "rank"), column(scores, "label"), fact(scores, "target")
        return tuple(
            to_measure(f"asr_top{k}", attack_success(ranks, labels, target, k), data)
            for k in choices(self.top, fact(scores, "classes"))
        )

    def check(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], threat: Threat | None, size: int
    ) -> None:
        from bezoar.attacks.plan import load_triggered

        measured = self.threat(threat)
        if measured is None:
            if self.trigger or self.target:
                given, missing = ("trigger", "target") if self.trigger else ("target", "trigger")
                raise ValueError(f"evaluators.{missing}: without an attack, a {given} needs a {missing} beside it")
            return
        for name, labeled in sets.items():
            class_index(measured.target, labeled.classes)
            wordings(self.templates, labeled, name)
            load_triggered(labeled, 0, size, measured.trigger, measured.stage)
