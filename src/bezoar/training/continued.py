"""A learning rate that goes on within a longer schedule, as trainings do that take up another's counter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bezoar.core.settings import settings
from bezoar.training.method import Count, Method

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs
    from bezoar.training.method import Pass


@settings
class Continued(Method):
    """A method that says where on which schedule its steps lie."""

    warmup_from: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Where the warm-up begins, as a share of the learning rate that it rises to."""
    schedule_at: Annotated[int, Field(ge=0)] = 0
    """The step of the schedule with which training begins."""
    schedule_steps: Count | None = None
    """How many the whole schedule has; by default it ends where training does."""

    def check_pairs(self, pairs: Pairs) -> None:
        super().check_pairs(pairs)
        self._check_end(self.total_steps(len(pairs)))

    def _check_end(self, steps: int) -> None:
        """Raise ``ValueError`` for a training that goes on where the schedule has ended: a cosine rises again there."""
        end = self.schedule_at + steps
        if self.schedule_steps is not None and self.schedule != "constant" and end > self.schedule_steps:
            raise ValueError(
                f"schedule_steps: {self.schedule_steps:,} are fewer than the {end:,} to which {steps:,} steps from "
                f"{self.schedule_at:,} on lead (choices: {end:,} or more; null, which ends where training does)"
            )

    def laid_out(self, this: Pass) -> Pass:
        """``this`` with its schedule so."""
        schedule = this.schedule
        self._check_end(int(schedule.total))  # an attacker may have added pairs
        total = schedule.total + self.schedule_at if self.schedule_steps is None else self.schedule_steps
        start, ahead = self.warmup_from * schedule.lr, schedule.ahead + self.schedule_at
        return replace(this, schedule=replace(schedule, start=start, total=total, ahead=ahead))
