"""Clean accuracy: zero-shot classification of untouched images (Radford et al. 2021, §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.base import Evaluation, Evaluator, Rank, wordings
from bezoar.evaluation.pictures import UNTOUCHED, Look

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from bezoar.attacks import Aim
    from bezoar.core.frame import Frame
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip


@settings
class ZeroShot(Evaluator):
    """``accuracy_topK``: share of images whose class is among the K nearest prompts' classes; Wilson interval."""

    kind: ClassVar[str] = "zero_shot"
    revision: ClassVar[int] = 2
    top: tuple[Rank, ...] = (1, 3, 5, 10)
    """K at or above half the classes is not printed."""
    templates: str | tuple[str, ...] = "auto"
    """``auto``: the labeled set's own, or else CLIP's 80. Or ``own``, a set by name, a list with ``{c}``."""

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        from bezoar.evaluation.tables import labels_of, table
        from bezoar.metrics import rank_of

        scores = {}
        for name, images in context.sets.items():
            labels = labels_of(images.labeled)
            cosines = context.cosines(model, name, self.templates)
            scores[name] = table(images.labeled, labels, cosines.argmax(1), rank_of(cosines, labels))
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        return (UNTOUCHED,)

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import column, fact, to_measure
        from bezoar.metrics import accuracy, choices

        ranks = column(scores, "rank")
        return tuple(
            to_measure(f"accuracy_top{k}", accuracy(ranks, k), data) for k in choices(self.top, fact(scores, "classes"))
        )

    def expected(
        self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim
    ) -> Iterable[tuple[str, str]]:
        from bezoar.metrics import choices

        return [
            (name, f"accuracy_top{k}")
            for name, labeled in sets.items()
            for k in choices(self.top, len(labeled.classes))
        ]

    def check(self, sets: Mapping[str, LabeledSet], held_out: Mapping[str, Pairs], aim: Aim, frame: Frame) -> None:
        for name, labeled in sets.items():
            wordings(self.templates, labeled, name)
