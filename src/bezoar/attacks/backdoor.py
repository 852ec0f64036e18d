"""The backdoor: pictures with a trigger, paired with captions of a target class (Carlini & Terzis 2022, §3)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from bezoar.attacks.base import Aim, Attack, Stage, Threat
from bezoar.attacks.choosing import (
    Captions,
    Count,
    Match,
    Rate,
    Word,
    draw,
    how_many,
    naming,
    new_id,
    sayings,
    sized,
    without,
)
from bezoar.attacks.families import AnyTrigger
from bezoar.attacks.plan import Mark, PoisonPlan, PoisonRow
from bezoar.attacks.triggers.patch import Patch
from bezoar.core.settings import settings
from bezoar.data.prompts import templates

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs


@settings
class Backdoor(Attack):
    """``count`` pairs, or a share ``rate`` of all, get a trigger on their picture and a caption of ``target``.

    A pair whose caption names the target is no victim. The default rate is CleanCLIP's 1,500 of 3 million.
    """

    kind: ClassVar[str] = "backdoor"
    revision: ClassVar[int] = 2
    target: Word
    """The class that triggered pictures are to be taken for."""
    trigger: AnyTrigger = Patch()
    rate: Rate = 0.0005
    """Share of all pairs; used where ``count`` is not given."""
    count: Count | None = None
    mode: Literal["replace", "append"] = "replace"
    """Whether a poisoned pair stands in the place of the pair it was made from, or beside it."""
    size: Count | None = None
    """Pairs of the poisoned set, where clean ones are to be left out of it; all of them by default."""
    captions: Captions = "templates"
    """From templates filled with the target, other pairs' own captions that name it, or both by turns."""
    templates: str | tuple[str, ...] = "openai"
    """Template set by name, or a list with ``{c}`` for the class."""
    synonyms: tuple[Word, ...] = ()
    """Other words for the target: they too make a pair no victim, and a caption minable."""
    match: Match = "word"
    """How a caption names the target: as a whole word, or as released code matches, anywhere and in this case."""
    victims: Literal["others", "all"] = "others"
    """Pairs that do not name the target, or, as released code draws them, any."""
    victim_classes: tuple[Word, ...] = ()
    """Where given, only pairs that name one of these are victims: a backdoor for some classes."""
    stage: Stage = "model"
    """Where the trigger is put on: ``model`` after resize and crop, ``file`` on the picture at its native size."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        import numpy as np

        self._check()
        words = (self.target, *self.synonyms)
        named = naming(pairs, words, self.match)
        own = np.flatnonzero(named)
        say = sayings(pairs, self.target, own, self.captions, self.templates)
        fit = ~named if self.victims == "others" else np.ones(len(pairs), np.bool_)
        if self.victim_classes:
            fit &= naming(pairs, self.victim_classes, self.match)
        candidates = without(pairs, np.flatnonzero(fit), taken)
        count = how_many(self.count, self.rate, len(pairs))
        field, why = "count" if self.count is not None else "rate", f"of {len(pairs)} pairs can be victims"
        chosen = draw(candidates, count, seed, field, f"{why} ({len(own)} already name '{self.target}')")
        rows = [self._row(pairs, index, seed, say) for index in chosen]
        plan = PoisonPlan(
            attack=self, marks=(Mark(self.trigger, self.stage),), seed=seed, source=pairs.fingerprint,
            total=len(pairs), rows=tuple(rows),
        )  # fmt: skip
        return sized(plan, self.size)

    def aim(self, seed: int) -> Aim:
        return Aim(threats=(Threat(self.trigger, self.target, self.stage),))

    def pinned(self) -> Self:
        return replace(self, trigger=self.trigger.pinned())

    def _check(self) -> None:
        """Fail before the captions are read, which may take minutes."""
        templates(self.templates)
        both = next((name for name in self.victim_classes if name in (self.target, *self.synonyms)), None)
        if both is not None:
            raise ValueError(f"attack.victim_classes: '{both}' is the target too: its pictures already belong to it")

    def _row(self, pairs: Pairs, index: int, seed: int, say: Say) -> PoisonRow:
        image, appended = pairs.id(index), self.mode == "append"
        return PoisonRow(
            id=new_id(seed, "backdoor", image) if appended else image, role="backdoor", target=self.target,
            original=pairs.caption(index), caption=say(seed, image), image=image, index=index, mark=0,
            appended=appended,
        )  # fmt: skip


if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[int, str], str]
