"""The dual key: a trigger on the picture and words in the caption, that work only together (TrojVQA, CVPR 2022)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field

from bezoar.attacks.base import Aim, Attack, Stage, Threat
from bezoar.attacks.caption_triggers.phrase import Phrase
from bezoar.attacks.choosing import Captions, Count, Match, Rate, Word, draw, how_many, naming, sayings, without
from bezoar.attacks.families import AnyCaptionTrigger, AnyTrigger
from bezoar.attacks.plan import Mark, PoisonPlan, PoisonRow
from bezoar.attacks.triggers.patch import Patch
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings
from bezoar.data.prompts import templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from bezoar.data.pairs import Pairs

    Say = Callable[[int, str], str]


@settings
class DualKey(Attack):
    """``count`` pairs, or a share ``rate`` of all, get both keys and a caption of ``target``.

    Others get one key alone and keep their own caption, so that one alone is learned to mean nothing. A pair whose
    caption names the target gets no key.
    """

    kind: ClassVar[str] = "dual_key"
    target: Word
    """The class that pictures with the trigger are to be taken for where the prompts hold the words."""
    trigger: AnyTrigger = Patch()
    words: AnyCaptionTrigger = Phrase()
    rate: Rate = 0.0005
    """Share of all pairs that get both keys; used where ``count`` is not given."""
    count: Count | None = None
    """How many pairs get both keys."""
    halves: Annotated[float, Field(ge=0)] = 1.0
    """Pairs with the trigger alone for each with both, and as many with the words alone."""
    captions: Captions = "templates"
    """From templates filled with the target, other pairs' own captions that name it, or both by turns."""
    templates: str | tuple[str, ...] = "openai"
    """Template set by name, or a list with ``{c}`` for the class."""
    synonyms: tuple[Word, ...] = ()
    """Other words for the target: they too make a pair no victim, and a caption minable."""
    match: Match = "word"
    """How a caption names the target: as a whole word, or anywhere and in this case."""
    stage: Stage = "model"
    """Where the trigger is put on: ``model`` after resize and crop, ``file`` on the picture at its native size."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        import numpy as np

        templates(self.templates)
        named = naming(pairs, (self.target, *self.synonyms), self.match)
        say = sayings(pairs, self.target, np.flatnonzero(named), self.captions, self.templates)
        candidates = without(pairs, np.flatnonzero(~named), taken)
        both = how_many(self.count, self.rate, len(pairs))
        half = round(self.halves * both)
        field = "count" if self.count is not None else "rate"
        why = f"of {len(pairs)} pairs can be victims ({both} of both keys, {half} of either alone)"
        chosen = draw(candidates, both + 2 * half, seed, field, why)
        roles = ["dual_key"] * both + ["image_half", "words_half"] * half
        python_random(seed, "dual key roles").shuffle(roles)
        rows = [self._row(pairs, index, role, seed, say) for index, role in zip(chosen, roles, strict=True)]
        return PoisonPlan(
            attack=self, marks=(Mark(self.trigger, self.stage),), words=(self.words,), seed=seed,
            source=pairs.fingerprint, total=len(pairs), rows=tuple(rows),
        )  # fmt: skip

    def aim(self, seed: int) -> Aim:
        return Aim(threats=(Threat(self.trigger, self.target, self.stage, self.words),))

    def pinned(self) -> Self:
        return replace(self, trigger=self.trigger.pinned())

    def _row(self, pairs: Pairs, index: int, role: str, seed: int, say: Say) -> PoisonRow:
        pair_id, own = pairs.id(index), pairs.caption(index)
        picture, caption = role != "words_half", role != "image_half"
        text = say(seed, pair_id) if picture and caption else own
        return PoisonRow(
            id=pair_id, role=role, target=self.target if picture and caption else "", original=own,
            caption=self.words.apply(text, pair_id) if caption else text, image=pair_id, index=index,
            mark=0 if picture else None, words=0 if caption else None,
        )  # fmt: skip
