"""The honest trade-off: which of many models nothing beats, and which one a defender would take by a named rule.

Clean accuracy and attack success rate (ASR) are shares; each model is a pair (accuracy, ASR). All rules are pure
functions of such pairs: who calls them decides on which pictures they were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Pair = tuple[float, float]
_ROUNDING = 1e-9
"""Shares are quotients: 0.33 - 0.03 is a little more than 0.3."""


@dataclass(frozen=True)
class AtMost:
    """The most accurate of the models whose ASR is at most ``limit``."""

    limit: float

    @property
    def name(self) -> str:
        return f"best accuracy at ASR ≤ {100 * self.limit:g} %"

    def pick(self, pairs: Sequence[Pair]) -> int | None:
        """Its place, the first of equals; ``None`` where no model qualifies."""
        within = [i for i, (_, asr) in enumerate(pairs) if asr <= self.limit + _ROUNDING]
        return min(within, key=lambda i: (-pairs[i][0], pairs[i][1]), default=None)


@dataclass(frozen=True)
class Near:
    """The model of lowest ASR among those whose accuracy is within ``margin`` of the best."""

    margin: float

    @property
    def name(self) -> str:
        points = 100 * self.margin
        return f"lowest ASR within {points:g} point{'s' if points != 1 else ''} of the best accuracy"

    def pick(self, pairs: Sequence[Pair]) -> int | None:
        """Its place, the first of equals; ``None`` only where there is no model."""
        best = max((accuracy for accuracy, _ in pairs), default=0.0)
        within = [i for i, (accuracy, _) in enumerate(pairs) if accuracy >= best - self.margin - _ROUNDING]
        return min(within, key=lambda i: (pairs[i][1], -pairs[i][0]), default=None)


Criterion = AtMost | Near
CRITERIA: tuple[Criterion, ...] = (AtMost(0.05), AtMost(0.10), Near(0.01), Near(0.03))


def front(pairs: Sequence[Pair]) -> list[int]:
    """The places of the Pareto front, from the most accurate down: no other is as good in both and better in one.

    Of equal pairs the first stands for all.
    """
    found: list[int] = []
    for i in sorted(range(len(pairs)), key=lambda i: (-pairs[i][0], pairs[i][1], i)):
        if not found or pairs[i][1] < pairs[found[-1]][1]:
            found.append(i)
    return found
