"""Learning rates as a function of one global step counter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up over ``warmup`` steps, then ``shape`` down to zero after ``total`` steps, warm-up included.

    ``begin`` is the global step at which it starts, for a pass that joins late. ``ahead`` is by how many steps the
    counter runs ahead: the code of CyCLIP, CleanCLIP, RoCLIP and SafeCLIP counts epochs from 1, which with ``ahead``
    one epoch is matched to the last digit. The first epoch of warm-up is then left out, and the last epoch lies beyond
    ``total``, where the cosine, which is nowhere clamped then, rises again. A linear rate stays at zero there: that
    code has none, and a rate below zero would climb the loss.
    """

    shape: Literal["cosine", "constant", "linear"]
    lr: float
    warmup: int
    total: float
    start: float = 0.0
    """The learning rate that warm-up rises from."""
    begin: int = 0
    ahead: int = 0

    def __call__(self, step: int) -> float:
        """The learning rate of global step ``step`` (from 0)."""
        assert step >= self.begin, (step, self.begin)
        at = step - self.begin + self.ahead
        if at < self.warmup:
            return self.start + (self.lr - self.start) * (at + 1) / self.warmup
        if self.shape == "constant":
            return self.lr
        # Ahead, steps after a warm-up longer than ``total`` still count: that code divides by what is then negative.
        left = self.total - self.warmup if not self.ahead else abs(self.total - self.warmup)
        progress = (at - self.warmup) / max(1, left)
        if self.shape == "linear":
            return self.lr * (1 - min(1.0, progress))
        return self.lr * (0.5 * (1 + math.cos(math.pi * (progress if self.ahead else min(1.0, progress)))))
