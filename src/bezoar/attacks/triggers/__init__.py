"""Image triggers, one file each."""

from typing import Annotated

from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers.patch import Patch
from bezoar.core.settings import Family

TRIGGERS = Family("trigger", Trigger, (Patch,))
AnyTrigger = Annotated[Trigger, TRIGGERS]

__all__ = ["TRIGGERS", "AnyTrigger", "Patch", "Trigger"]
