"""What evaluators share that classify pictures by a linear classifier instead of by prompts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bezoar.data.pairs import class_index
from bezoar.evaluation.attack_success import AttackSuccess, Case
from bezoar.evaluation.pictures import UNTOUCHED

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from bezoar.attacks import Aim
    from bezoar.core.records import Measure
    from bezoar.evaluation.base import Context
    from bezoar.models.clip import Clip

_CLEAN = "clean"


def cases_of(aim: Aim) -> list[Case]:
    """The ways to show pictures in which an attack puts something on them; words mean nothing to a classifier."""
    return [case for case in AttackSuccess().cases(aim) if case.look != UNTOUCHED]


def places_of(known: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where each of ``classes`` stands among those that a classifier knows, by name."""
    return list(range(len(known))) if tuple(known) == tuple(classes) else [known.index(one) for one in classes]


def unknown(known: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Those of ``classes`` that a classifier does not know."""
    there = set(known)
    return [one for one in classes if one not in there]


def left_out(kind: str, what: str, missing: Sequence[str], name: str) -> None:
    """Say why nothing is measured on set ``name``."""
    logging.getLogger(__name__).warning(
        "%s: %s has no class '%s', which '%s' has (%d in all): it is not measured there",
        kind, what, missing[0], name, len(missing),
    )  # fmt: skip


def classified(context: Context, model: Clip, name: str, classify: Callable[[Tensor], Tensor]) -> pa.Table:
    """The per-sample table of set ``name``: all pictures untouched, and again with each trigger of the attack.

    ``classify``: features before normalization, ``[n, d]``, to a logit for each class of the set, ``[n, classes]``.
    """
    from bezoar.evaluation.tables import joined, labels_of, table
    from bezoar.metrics import rank_of

    labeled = context.sets[name].labeled
    labels = labels_of(labeled)
    shown = [(_CLEAN, -1, UNTOUCHED)]
    shown += [(case.name, class_index(case.target, labeled.classes), case.look) for case in cases_of(context.aim)]
    parts = []
    for called, target, look in shown:
        logits = classify(context.plain_features(model, name, look)).cpu()
        wanted = labels if target < 0 else labels.new_full(labels.shape, target)
        parts.append((called, target, table(labeled, labels, logits.argmax(1), rank_of(logits, wanted))))
    return joined(parts)


def measures_of(scores: pa.Table, by: str, top: Sequence[int], data: str) -> tuple[Measure, ...]:
    """``BY_accuracy_topK`` and ``BY_asr_topK`` from the table of ``classified``."""
    from bezoar.evaluation.tables import fact, parts, to_measure
    from bezoar.metrics import accuracy, attack_success, choices

    measures = []
    for part in parts(scores):
        for k in choices(top, fact(scores, "classes")):
            if part.target < 0:
                measures.append(to_measure(f"{by}_accuracy_top{k}", accuracy(part.ranks, k), data))
            else:
                named = f"{by}_asr_top{k}/{part.name}" if part.name else f"{by}_asr_top{k}"
                found = attack_success(part.ranks, part.labels, part.target, k)
                measures.append(to_measure(named, found, data))
    return tuple(measures)
