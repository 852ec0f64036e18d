"""Attacks and their plans: pure data about who is poisoned, and pure functions that do it."""

from typing import Annotated

from bezoar.attacks.backdoor import Backdoor
from bezoar.attacks.base import Attack, Threat
from bezoar.attacks.planned import Planned
from bezoar.core.settings import Family

ATTACKS = Family("attack", Attack, (Backdoor, Planned))
AnyAttack = Annotated[Attack, ATTACKS]

__all__ = ["ATTACKS", "AnyAttack", "Attack", "Backdoor", "Planned", "Threat"]
