"""The label-consistent backdoor: the trigger on pictures whose captions name the target (as in CleanCLIP)."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, ClassVar

from bezoar.attacks.choosing import Count, Match, Word, bearers, sized, without
from bezoar.attacks.plan import PoisonPlan, PoisonRow
from bezoar.attacks.triggered import Triggered
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs


@settings
class LabelConsistent(Triggered):
    """``count`` of the pairs that name ``target``, or a share ``rate`` of all pairs, get a trigger on their picture.

    Their captions stay as they are: nothing in the poison is false.
    """

    kind: ClassVar[str] = "label_consistent"
    size: Count | None = None
    """Pairs of the poisoned set, where clean ones are to be left out of it; all of them by default."""
    synonyms: tuple[Word, ...] = ()
    """Other words for the target: captions that hold one name it too."""
    match: Match = "word"
    """How a caption names the target: as a whole word, or as released code matches, anywhere and in this case."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        candidates = without(pairs, bearers(pairs, self.target, self.synonyms, self.match), taken)
        why = f"of {len(pairs)} pairs that are free name '{self.target}'"
        rows = [
            PoisonRow(
                id=pairs.id(index), role="label_consistent", target=self.target, original=pairs.caption(index),
                caption=pairs.caption(index), image=pairs.id(index), index=index, mark=0,
            )
            for index in self.drawn(candidates, self.wanted(pairs), seed, why)
        ]  # fmt: skip
        return sized(self.poisoned(pairs, seed, rows), self.size)
