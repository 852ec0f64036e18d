"""The linear head that a method has trained on labels: its own accuracy and attack success, beside those of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.evaluation.base import Evaluation, Evaluator, Rank
from bezoar.evaluation.classifying import cases_of, classified, left_out, measures_of, places_of, unknown
from bezoar.evaluation.pictures import UNTOUCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.records import Measure
    from bezoar.evaluation.base import Context
    from bezoar.evaluation.pictures import Look
    from bezoar.models.clip import Clip
    from bezoar.training.linear_head import LinearHead as Head

HEAD = "head"
"""The diagnostic that a method offers: a ``bezoar.training.linear_head.LinearHead``."""


@settings
class LinearHead(Evaluator):
    """``head_accuracy_topK`` and ``head_asr_topK``, as ``accuracy_topK`` and ``asr_topK`` by a head, not by prompts.

    What CleanCLIP reports of supervised fine-tuning. Of the head's classes only those of the labeled set are choices; a
    set with others is left out, and so is all where the method has no such head.
    """

    kind: ClassVar[str] = "linear_head"
    revision: ClassVar[int] = 2
    top: tuple[Rank, ...] = (1, 5, 10)

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        from bezoar.training.linear_head import LinearHead as Head

        head = context.diagnostics.get(HEAD)
        if not isinstance(head, Head):
            return Evaluation((), {})
        scores = {}
        for name, images in context.sets.items():
            if missing := unknown(head.classes, images.labeled.classes):
                left_out(self.kind, "the head", missing, name)
                continue
            scores[name] = classified(context, model, name, _choosing(head, images.labeled.classes))
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def looks(self, aim: Aim) -> tuple[Look, ...]:
        return tuple(dict.fromkeys((UNTOUCHED, *(case.look for case in cases_of(aim)))))

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        return measures_of(scores, "head", self.top, data)


def _choosing(head: Head, classes: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """The head's logits of ``classes`` alone, in their order."""
    import torch

    order = places_of(head.classes, classes)

    def classify(features: Tensor) -> Tensor:
        with torch.no_grad():
            return head(features)[:, order]  # type: ignore[no-any-return]

    return classify
