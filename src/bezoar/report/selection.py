"""The honest choice: settings and epoch of a cleaning are chosen on one split; what they give is read on another.

Of all points of a cleaning's grid and all its epochs, the one with the lowest attack success rate among those that
keep the clean accuracy within 3 points of the victim's; where none does, the most accurate one, marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bezoar.report.groups import Group, Point
    from bezoar.report.runs import Run

MARGIN = 0.03
"""Clean accuracy that a remedy may cost."""
GOAL = 0.10
"""Attack success rate that a remedy must reach to be called one."""
_ROUNDING = 1e-9
"""Shares are quotients: 0.33 - 0.03 is a little more than 0.3."""


@dataclass(frozen=True)
class Choice:
    """The point chosen for one cleaning and one seed."""

    point: Point
    within: bool
    """Whether it keeps the victim's accuracy within the margin, on the split it was chosen on."""


def keeps(accuracy: float, reference: float) -> bool:
    """Whether ``accuracy`` is within the margin of ``reference``, or above it."""
    return accuracy >= reference - MARGIN - _ROUNDING


def pick(candidates: Sequence[tuple[float, float]], reference: float) -> tuple[int, bool]:
    """Index of the best (accuracy, ASR), and whether it is within the margin of the ``reference`` accuracy.

    Ties go to the higher accuracy (of equal accuracies: the lower ASR), then to the earlier candidate.
    """
    assert candidates, "nothing to choose from"
    within = [i for i, (accuracy, _) in enumerate(candidates) if keeps(accuracy, reference)]
    if within:
        return min(within, key=lambda i: (candidates[i][1], -candidates[i][0])), True
    return min(range(len(candidates)), key=lambda i: (-candidates[i][0], candidates[i][1])), False


def choose(run: Run, group: Group, seed: int) -> Choice | None:
    """The chosen point of cleaning ``group``; ``None`` before victim and cleaning are both measured on that split."""
    victim = run.victim_of(group)
    assert victim not in (None, group), f"{group.name} cleans nothing"
    assert victim is not None
    at = run.kept(victim.name, seed)
    reference = run.measures(at, run.select_on).get("accuracy_top1") if at else None
    points, candidates = [], []
    for stage in group.points:
        for point in run.epochs(stage, seed):
            found = run.measures(point, run.select_on)
            if "accuracy_top1" in found and "asr_top1" in found:
                points.append(point)
                candidates.append((found["accuracy_top1"].value, found["asr_top1"].value))
    if reference is None or not points:
        return None
    best, within = pick(candidates, reference.value)
    return Choice(points[best], within)
