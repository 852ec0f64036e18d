"""The label-consistent backdoor: the trigger on pictures whose captions name the target (as in CleanCLIP)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

from bezoar.attacks.base import Aim, Attack, Stage, Threat
from bezoar.attacks.choosing import Count, Match, Rate, Word, bearers, draw, how_many, sized, without
from bezoar.attacks.families import AnyTrigger
from bezoar.attacks.plan import Mark, PoisonPlan, PoisonRow
from bezoar.attacks.triggers.patch import Patch
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs


@settings
class LabelConsistent(Attack):
    """``count`` of the pairs that name ``target``, or a share ``rate`` of all pairs, get a trigger on their picture.

    Their captions stay as they are: nothing in the poison is false.
    """

    kind: ClassVar[str] = "label_consistent"
    target: Word
    """The class that triggered pictures are to be taken for."""
    trigger: AnyTrigger = Patch()
    rate: Rate = 0.0005
    """Share of all pairs, not of those that name the target; used where ``count`` is not given."""
    count: Count | None = None
    size: Count | None = None
    """Pairs of the poisoned set, where clean ones are to be left out of it; all of them by default."""
    synonyms: tuple[Word, ...] = ()
    """Other words for the target: captions that hold one name it too."""
    match: Match = "word"
    """How a caption names the target: as a whole word, or as released code matches, anywhere and in this case."""
    stage: Stage = "model"
    """Where the trigger is put on: ``model`` after resize and crop, ``file`` on the picture at its native size."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        candidates = without(pairs, bearers(pairs, self.target, self.synonyms, self.match), taken)
        count = how_many(self.count, self.rate, len(pairs))
        field = "count" if self.count is not None else "rate"
        chosen = draw(candidates, count, seed, field, f"of {len(pairs)} pairs that are free name '{self.target}'")
        rows = [
            PoisonRow(
                id=pairs.id(index), role="label_consistent", target=self.target, original=pairs.caption(index),
                caption=pairs.caption(index), image=pairs.id(index), index=index, mark=0,
            )
            for index in chosen
        ]  # fmt: skip
        plan = PoisonPlan(
            attack=self, marks=(Mark(self.trigger, self.stage),), seed=seed, source=pairs.fingerprint,
            total=len(pairs), rows=tuple(rows),
        )  # fmt: skip
        return sized(plan, self.size)

    def aim(self, seed: int) -> Aim:
        return Aim(threats=(Threat(self.trigger, self.target, self.stage),))

    def pinned(self) -> Self:
        return replace(self, trigger=self.trigger.pinned())
