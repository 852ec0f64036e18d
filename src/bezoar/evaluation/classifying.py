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


def cases_of(aim: Aim, classes: Sequence[str] | None = None) -> list[Case]:
    """The ways to show pictures in which an attack puts something on them, towards one of ``classes`` where given.

    Words mean nothing to a classifier: a dual key is but its trigger, once.
    """
    found: list[Case] = []
    for case in AttackSuccess().cases(aim):
        seen = any((case.target, case.look) == (other.target, other.look) for other in found)
        if case.look != UNTOUCHED and not seen and (classes is None or case.target in classes):
            found.append(case)
    return found


def metrics_of(aim: Aim, classes: Sequence[str], by: str, top: Sequence[int]) -> list[str]:
    """The metrics of ``measures_of`` on a set with ``classes``."""
    from bezoar.metrics import choices

    names = [case.name for case in cases_of(aim, classes)]
    whole = [""] if names and "" not in names else []
    return [
        f"{by}_{what}"
        for k in choices(top, len(classes))
        for what in (
            f"accuracy_top{k}", *(f"asr_top{k}/{name}" if name else f"asr_top{k}" for name in (*whole, *names))
        )
    ]  # fmt: skip


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

    A trigger whose target is none of the set's classes is not shown.
    ``classify``: features before normalization, ``[n, d]``, to a logit for each class of the set, ``[n, classes]``.
    """
    from bezoar.evaluation.tables import joined, labels_of, table
    from bezoar.metrics import rank_of

    labeled = context.sets[name].labeled
    labels = labels_of(labeled)
    shown = [(_CLEAN, -1, UNTOUCHED)]
    shown += [
        (case.name, class_index(case.target, labeled.classes), case.look)
        for case in cases_of(context.aim, labeled.classes)
    ]
    parts = []
    for called, target, look in shown:
        logits = classify(context.plain_features(model, name, look)).cpu()
        wanted = labels if target < 0 else labels.new_full(labels.shape, target)
        parts.append((called, target, table(labeled, labels, logits.argmax(1), rank_of(logits, wanted))))
    return joined(parts)


def measures_of(scores: pa.Table, by: str, top: Sequence[int], data: str) -> tuple[Measure, ...]:
    """``BY_accuracy_topK`` and ``BY_asr_topK`` from the table of ``classified``."""
    from bezoar.evaluation.tables import fact, parts, to_measure
    from bezoar.metrics import accuracy, attack_success, choices, pooled

    measures = []
    for k in choices(top, fact(scores, "classes")):
        found = {}
        for part in parts(scores):
            if part.target < 0:
                measures.append(to_measure(f"{by}_accuracy_top{k}", accuracy(part.ranks, k), data))
            else:
                found[part.name] = attack_success(part.ranks, part.labels, part.target, k)
        if found and "" not in found:
            measures.append(to_measure(f"{by}_asr_top{k}", pooled(tuple(found.values())), data))
        measures += [
            to_measure(f"{by}_asr_top{k}/{name}" if name else f"{by}_asr_top{k}", interval, data)
            for name, interval in found.items()
        ]
    return tuple(measures)
