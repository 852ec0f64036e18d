"""What every attack is: a value whose verb ``plan`` chooses which pairs get which trigger and which caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bezoar.core.settings import Settings, settings

if TYPE_CHECKING:
    from bezoar.attacks.plan import PoisonPlan
    from bezoar.data.pairs import Pairs


@settings
class Attack(Settings):
    """A way to poison pairs."""

    def plan(self, pairs: Pairs, seed: int) -> PoisonPlan:
        """Who is poisoned, and how; pure data. Raises ``ValueError`` when ``pairs`` cannot carry the attack."""
        raise NotImplementedError
