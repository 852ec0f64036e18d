"""A learning rate that goes on within a longer schedule, as trainings do that take up another's counter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bezoar.core.settings import Settings, settings
from bezoar.training.method import Count

if TYPE_CHECKING:
    from bezoar.training.method import Pass


@settings
class Continued(Settings):
    """Where on which schedule the steps of a training lie."""

    warmup_from: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Where the warm-up begins, as a share of the learning rate that it rises to."""
    schedule_at: Annotated[int, Field(ge=0)] = 0
    """The step of the schedule with which training begins."""
    schedule_steps: Count | None = None
    """How many the whole schedule has; by default it ends where training does."""

    def laid_out(self, this: Pass) -> Pass:
        """``this`` with its schedule so."""
        schedule = this.schedule
        total = schedule.total + self.schedule_at if self.schedule_steps is None else self.schedule_steps
        start, ahead = self.warmup_from * schedule.lr, schedule.ahead + self.schedule_at
        return replace(this, schedule=replace(schedule, start=start, total=total, ahead=ahead))
