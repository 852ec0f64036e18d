"""The linear head that a method has trained on labels: its own accuracy and attack success, beside those of prompts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from bezoar.core.settings import settings
from bezoar.data.pairs import class_index
from bezoar.evaluation.attack_success import AttackSuccess
from bezoar.evaluation.base import Evaluation, Evaluator, Rank
from bezoar.evaluation.pictures import UNTOUCHED
from bezoar.evaluation.sharing import shared, spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from torch import Tensor

    from bezoar.core.records import Measure
    from bezoar.evaluation.base import Context
    from bezoar.evaluation.pictures import Look
    from bezoar.models.clip import Clip
    from bezoar.training.linear_head import LinearHead as Head

HEAD = "head"
"""The diagnostic that a method offers: a ``bezoar.training.linear_head.LinearHead``."""
_CLEAN = "clean"


@settings
class LinearHead(Evaluator):
    """``head_accuracy_topK`` and ``head_asr_topK``, as ``accuracy_topK`` and ``asr_topK`` by a head, not by prompts.

    What CleanCLIP reports of supervised fine-tuning. Of the head's classes only those of the labeled set are choices; a
    set with others is left out, and so is all where the method has no such head.
    """

    kind: ClassVar[str] = "linear_head"
    top: tuple[Rank, ...] = (1, 5, 10)

    def evaluate(self, model: Clip, context: Context) -> Evaluation:
        from bezoar.evaluation.tables import joined, labels_of, table
        from bezoar.metrics import rank_of
        from bezoar.training.linear_head import LinearHead as Head

        head = context.diagnostics.get(HEAD)
        if not isinstance(head, Head):
            return Evaluation((), {})
        cases = [case for case in AttackSuccess().cases(context.aim) if case.look != UNTOUCHED]
        looks = tuple(dict.fromkeys((UNTOUCHED, *(case.look for case in cases))))
        scores = {}
        for name in [name for name in context.sets if _fits(head, context, name)]:
            labeled = context.sets[name].labeled
            labels, logits = labels_of(labeled), _logits(head, model, context, name, looks)
            shown = [(_CLEAN, -1, UNTOUCHED)]
            shown += [(case.name, class_index(case.target, labeled.classes), case.look) for case in cases]
            parts = []
            for called, target, look in shown:
                wanted = labels if target < 0 else labels.new_full(labels.shape, target)
                found = logits[look]
                parts.append((called, target, table(labeled, labels, found.argmax(1), rank_of(found, wanted))))
            scores[name] = joined(parts)
        return Evaluation(tuple(m for name, rows in scores.items() for m in self.measure(rows, name)), scores)

    def measure(self, scores: pa.Table, data: str) -> tuple[Measure, ...]:
        from bezoar.evaluation.tables import fact, parts, to_measure
        from bezoar.metrics import accuracy, attack_success, choices

        measures = []
        for part in parts(scores):
            for k in choices(self.top, fact(scores, "classes")):
                if part.target < 0:
                    measures.append(to_measure(f"head_accuracy_top{k}", accuracy(part.ranks, k), data))
                else:
                    named = f"head_asr_top{k}/{part.name}" if part.name else f"head_asr_top{k}"
                    found = attack_success(part.ranks, part.labels, part.target, k)
                    measures.append(to_measure(named, found, data))
        return tuple(measures)


def _fits(head: Head, context: Context, name: str) -> bool:
    """Whether the head knows every class of set ``name``; else it is said which it does not."""
    unknown = [one for one in context.sets[name].labeled.classes if one not in head.classes]
    if unknown:
        logging.getLogger(__name__).warning(
            "linear_head: the head has no class '%s', which '%s' has (%d in all): it is not measured there",
            unknown[0], name, len(unknown),
        )  # fmt: skip
    return not unknown


def _logits(head: Head, model: Clip, context: Context, name: str, looks: Sequence[Look]) -> dict[Look, Tensor]:
    """The head's logits of every picture of set ``name`` under each look, ``[n, classes]`` in the set's order."""
    import torch

    images = context.sets[name]
    chunks, order = spans(len(images.labeled)), [head.classes.index(one) for one in images.labeled.classes]

    def encode(number: int) -> list[Tensor]:
        shown = images.stack(chunks[number], looks)
        with torch.no_grad(), context.autocast():
            return [model.image_features(pictures).float() for pictures in shown]

    found = shared(context.peers, [len(chunk) for chunk in chunks], encode)
    with torch.no_grad():
        return {look: head(features)[:, order].cpu() for look, features in zip(looks, found, strict=True)}
