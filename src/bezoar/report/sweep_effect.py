"""What a cleaning does: how far attack success falls, what that costs in accuracy, and whether there was an attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bezoar.metrics import student_t, takes
from bezoar.report.sweep_choice import Pick
from bezoar.report.sweeps import Swept
from bezoar.report.text import DASH, points

NOTHING_TO_CLEAN = "the victim does not take the attack: nothing to clean"


class Difference(NamedTuple):
    """The mean of one difference a seed, with Student's interval; of one seed there is none."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Seeds."""


class Effect(NamedTuple):
    """Differences of shares on ``report_on``, paired over seeds."""

    accuracy: Difference
    """Of the chosen model less that of the model before; below zero where cleaning costs accuracy."""
    asr: Difference
    """The drop of attack success: of the model before less that of the chosen one."""


def effect(before: Pick, pick: Pick) -> Effect | None:
    """What a choice changes, over the seeds that both are known of; ``None`` where there is none."""
    pairs = [(before.by_seed[seed], found) for seed, found in pick.by_seed.items() if seed in before.by_seed]
    if not pairs:
        return None
    return Effect(
        _over([after.accuracy.value - start.accuracy.value for start, after in pairs]),
        _over([start.asr.value - after.asr.value for start, after in pairs]),
    )


def _over(values: Sequence[float]) -> Difference:
    return Difference(*student_t(values)) if len(values) > 1 else Difference(values[0], None, None, 1)


def told(difference: Difference | None) -> str:
    """In points: ``+93.1 (88.0 to 98.2, 3 seeds)``, or ``+93.1 (1 seed)``; a dash where there is none."""
    if difference is None:
        return DASH
    value, low, high, n = difference
    if low is None or high is None:
        return f"{points(100 * value)} (1 seed)"
    return f"{points(100 * value)} ({points(100 * low)} to {points(100 * high)}, {n} seeds)"


def dropped(difference: Difference | None) -> str:
    """The same of a drop, which is below zero where there is a rise: ``93.1 (88.0 to 98.2, 3 seeds)``."""
    return told(difference).replace("+", "")


def clean_already(sweep: Swept, before: Pick) -> str:
    """A word where the model that is cleaned does not take the attack, for all seeds or some; else nothing.

    It takes where the lower end of its ASR on ``report_on`` is above guessing.
    """
    classes = sweep.classes.get(sweep.report_on)
    if not classes or not before.by_seed:
        return ""
    lacking = [seed for seed, found in before.by_seed.items() if not takes(found.asr.low, classes)]
    if not lacking:
        return ""
    if len(lacking) < len(before.by_seed):
        return f"the victim does not take the attack for {len(lacking)} of {len(before.by_seed)} seeds"
    return NOTHING_TO_CLEAN
