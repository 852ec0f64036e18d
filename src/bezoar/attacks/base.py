"""What every attack is: a value whose verb ``plan`` chooses which pairs get which trigger and which caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from bezoar.attacks.trigger import Trigger
from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import Pairs

Stage = Literal["model", "file"]
"""Where a trigger is put on: after resize and crop, or on the picture at its native size."""


class Threat(NamedTuple):
    """What an attack does at test time: a trigger, the class it is to call up, and where it is put on."""

    trigger: Trigger
    target: str
    stage: Stage = "model"


@settings
class Attack(Settings):
    """A way to poison pairs."""

    def plan(self, pairs: Pairs, seed: int) -> PoisonPlan:
        """Who is poisoned, and how; pure data. Raises ``ValueError`` when ``pairs`` cannot carry the attack."""
        raise NotImplementedError

    def threat(self) -> Threat | None:
        """What the attack does at test time; ``None`` where it needs no trigger."""
        return None
