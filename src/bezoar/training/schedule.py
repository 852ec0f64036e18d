"""Learning rates as a function of one global step counter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up over ``warmup`` steps, then ``shape`` down to zero after ``total`` steps, warm-up included.

    ``begin`` is the global step at which it starts, for a pass that joins late.
    """

    shape: Literal["cosine", "constant", "linear"]
    lr: float
    warmup: int
    total: int
    begin: int = 0

    def __call__(self, step: int) -> float:
        """The learning rate of global step ``step`` (from 0)."""
        at = step - self.begin
        assert at >= 0, (step, self.begin)
        if at < self.warmup:
            return self.lr * (at + 1) / self.warmup
        if self.shape == "constant":
            return self.lr
        progress = min(1.0, (at - self.warmup) / max(1, self.total - self.warmup))
        return self.lr * (0.5 * (1 + math.cos(math.pi * progress)) if self.shape == "cosine" else 1 - progress)
