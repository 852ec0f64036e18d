"""The backdoor: pictures with a trigger, paired with captions of a target class (Carlini & Terzis 2022, §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bezoar.attacks.base import Attack, Stage, Threat
from bezoar.attacks.plan import PoisonPlan, PoisonRow
from bezoar.attacks.triggers import AnyTrigger, Patch
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings
from bezoar.data.pairs import check_caption
from bezoar.data.prompts import fill, templates
from bezoar.data.words import names

if TYPE_CHECKING:
    import random

    from bezoar.data.pairs import Pairs


_Word = Annotated[str, Field(pattern=r"\S")]


@settings
class Backdoor(Attack):
    """Replaces ``count`` pairs, or a share ``rate`` of all, by their triggered picture with a caption of ``target``.

    A pair whose caption names the target is never a victim. The default rate is CleanCLIP's 1,500 of 3 million.
    """

    kind: ClassVar[str] = "backdoor"
    target: _Word
    """The class that triggered pictures are to be taken for."""
    trigger: AnyTrigger = Patch()
    rate: Annotated[float, Field(gt=0, le=1)] = 0.0005
    """Share of all pairs; used where ``count`` is not given."""
    count: Annotated[int, Field(ge=1)] | None = None
    captions: Literal["templates", "mined"] = "templates"
    """Captions from templates filled with the target, or other pairs' own captions that name it."""
    templates: str | tuple[str, ...] = "openai"
    """Template set by name, or a list with ``{c}`` for the class."""
    synonyms: tuple[_Word, ...] = ()
    """Other words for the target: they too make a pair no victim, and a caption minable."""
    stage: Stage = "model"
    """Where the trigger is put on: ``model`` after resize and crop, ``file`` on the picture at its native size."""

    def plan(self, pairs: Pairs, seed: int) -> PoisonPlan:
        wordings = templates(self.templates)  # first: the captions may take minutes
        words = (self.target, *self.synonyms)
        captions = (check_caption(pairs.caption(i), "pairs", pairs.id(i)) for i in range(len(pairs)))
        naming = [i for i, caption in enumerate(captions) if names(caption, words)]
        taken = set(naming)
        candidates = [i for i in range(len(pairs)) if i not in taken]
        count = self.count if self.count is not None else max(1, round(self.rate * len(pairs)))
        if count > len(candidates):
            field = "count" if self.count is not None else "rate"
            raise ValueError(
                f"attack.{field}: {count} poisons wanted, but only {len(candidates)} of {len(pairs)} pairs can be "
                f"victims ({len(naming)} already name '{self.target}')"
            )
        victims = sorted(python_random(seed, "victims").sample(candidates, count))
        caption = self._captions(pairs, naming, wordings)
        rows = []
        for index in victims:
            pair_id = pairs.id(index)
            rng = python_random(seed, "poison caption", pair_id)
            original = pairs.caption(index)
            rows.append(PoisonRow(id=pair_id, target=self.target, original=original, caption=caption(rng)))
        return PoisonPlan(
            attack=self, triggers=(self.trigger,), stage=self.stage, seed=seed, source=pairs.fingerprint,
            total=len(pairs), rows=tuple(rows),
        )  # fmt: skip

    def threat(self) -> Threat:
        return Threat(self.trigger, self.target, self.stage)

    def _captions(self, pairs: Pairs, naming: list[int], wordings: tuple[str, ...]) -> _Draw:
        if self.captions == "mined":
            if not naming:
                raise ValueError(
                    f"attack.captions: 'mined' finds no caption with the word '{self.target}' in the pairs"
                )
            return lambda rng: pairs.caption(rng.choice(naming))
        return lambda rng: fill(rng.choice(wordings), self.target)


if TYPE_CHECKING:
    from collections.abc import Callable

    _Draw = Callable[[random.Random], str]
