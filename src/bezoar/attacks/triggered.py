"""What attacks with a trigger on pictures for one class have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from bezoar.attacks.base import Aim, Attack, Stage, Threat
from bezoar.attacks.choosing import Count, Rate, Word, draw, how_many
from bezoar.attacks.families import AnyTrigger
from bezoar.attacks.plan import Mark, PoisonPlan, PoisonRow
from bezoar.attacks.triggers.patch import Patch
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.choosing import Numbers
    from bezoar.data.pairs import Pairs


@settings
class Triggered(Attack):
    """An attack that puts one trigger on pictures, which are then to be taken for ``target``."""

    target: Word
    """The class that triggered pictures are to be taken for."""
    trigger: AnyTrigger = Patch()
    rate: Rate = 0.0005
    """Share of all pairs, not of those that may be chosen; used where ``count`` is not given."""
    count: Count | None = None
    stage: Stage = "model"
    """Where the trigger is put on: ``model`` after resize and crop, ``file`` on the picture at its native size."""

    def aim(self, seed: int) -> Aim:
        return Aim(threats=(Threat(self.trigger, self.target, self.stage),))

    def pinned(self) -> Self:
        return replace(self, trigger=self.trigger.pinned())

    def wanted(self, pairs: Pairs) -> int:
        """How many of ``pairs`` are to be poisoned."""
        return how_many(self.count, self.rate, len(pairs))

    def drawn(self, candidates: Numbers, count: int, seed: int, why: str) -> list[int]:
        """``count`` of ``candidates``; raises ``ValueError`` that names ``count`` or ``rate``, whichever was given."""
        return draw(candidates, count, seed, "count" if self.count is not None else "rate", why)

    def poisoned(self, pairs: Pairs, seed: int, rows: Sequence[PoisonRow]) -> PoisonPlan:
        """The plan of ``rows``, whose only mark is the trigger."""
        return PoisonPlan(
            attack=self, marks=(Mark(self.trigger, self.stage),), seed=seed, source=pairs.fingerprint,
            total=len(pairs), rows=tuple(rows),
        )  # fmt: skip
