"""Which of several models is the best by one metric on one set: what is kept of a training by its validation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from bezoar.core.records import is_loss
from bezoar.core.settings import kind_of, nearest

if TYPE_CHECKING:
    from bezoar.attacks import Aim
    from bezoar.core.records import Measure
    from bezoar.data.pairs import LabeledSet, Pairs
    from bezoar.evaluation.base import Evaluator

_OF_ATTACKS = re.compile(r"(\w+_)?asr_|targeted_|caption_rate_|caption_names_|poison_")


def better(metric: str) -> Literal["higher", "lower"]:
    """Which numbers of ``metric`` a defender wants: lower ones of losses and of the success of attacks."""
    return "lower" if _OF_ATTACKS.match(metric) or is_loss(metric) else "higher"


def score(measures: Iterable[Measure], data: str, metric: str) -> float:
    """How good a model is by ``metric`` on set ``data``: more is always better, so that of a loss has its sign turned.

    Where several evaluators measure it, the first one's counts, as in reports. Raises ``ValueError`` with what was
    measured where that was not.
    """
    found: dict[tuple[str, str], float] = {}
    for measure in measures:
        found.setdefault((measure.data, measure.metric), measure.value)
    _refuse(metric, data, found, "metric")
    value = found[data, metric]
    return value if better(metric) == "higher" else -value


def check_metric(
    metric: str,
    data: str,
    evaluators: Sequence[Evaluator],
    sets: Mapping[str, LabeledSet],
    held_out: Mapping[str, Pairs],
    aim: Aim,
    where: str = "metric",
) -> None:
    """Raise ``ValueError``, before any training, where no evaluator will measure ``metric`` on set ``data``.

    ``where`` is the setting that names the metric. An evaluator from outside that does not say what it will measure is
    believed to measure anything.
    """
    rare = [evaluator for evaluator in evaluators if evaluator.only_last]
    evaluators = [evaluator for evaluator in evaluators if not evaluator.only_last]
    expected = [evaluator.expected(sets, held_out, aim) for evaluator in evaluators]
    if not any(each is None for each in expected):
        for evaluator in rare:
            if (data, metric) in (evaluator.expected(sets, held_out, aim) or ()):
                raise ValueError(
                    f"{where}: '{metric}' is measured of the last model alone; give '{kind_of(evaluator)}' at: every"
                )
        _refuse(metric, data, {measured for each in expected for measured in each or ()}, where)


def _refuse(metric: str, data: str, measured: Iterable[tuple[str, str]], where: str) -> None:
    """Raise ``ValueError`` where ``metric`` on ``data`` is not among what is ``measured``."""
    found = set(measured)
    if (data, metric) in found:
        return
    if there := {name for at, name in found if at == data}:
        raise ValueError(f"{where}: '{metric}' is not measured on '{data}'{nearest(metric, there)}")
    raise ValueError(f"{where}: nothing is measured on '{data}'{nearest(data, {at for at, _ in found})}")
