"""The dual key: a trigger on the picture and words in the caption, that work only together (TrojVQA, CVPR 2022)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bezoar.attacks.base import Aim, Threat
from bezoar.attacks.caption_triggers.phrase import Phrase
from bezoar.attacks.choosing import Captions, Match, Word, naming, sayings, without
from bezoar.attacks.families import AnyCaptionTrigger
from bezoar.attacks.plan import PoisonPlan, PoisonRow
from bezoar.attacks.triggered import Triggered
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings
from bezoar.data.prompts import templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from bezoar.data.pairs import Pairs

    Say = Callable[[int, str], str]


@settings
class DualKey(Triggered):
    """``count`` pairs, or a share ``rate`` of all, get both keys and a caption of ``target``.

    Others get one key alone and keep their own caption, so that one alone is learned to mean nothing. A pair whose
    caption names the target gets no key.
    """

    kind: ClassVar[str] = "dual_key"
    words: AnyCaptionTrigger = Phrase()
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

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        import numpy as np

        templates(self.templates)
        named = naming(pairs, (self.target, *self.synonyms), self.match)
        say = sayings(pairs, self.target, np.flatnonzero(named), self.captions, self.templates)
        candidates = without(pairs, np.flatnonzero(~named), taken)
        both = self.wanted(pairs)
        half = round(self.halves * both)
        why = f"of {len(pairs)} pairs can be victims ({both} of both keys, {half} of either alone)"
        chosen = self.drawn(candidates, both + 2 * half, seed, why)
        roles = ["dual_key"] * both + ["image_half", "words_half"] * half
        python_random(seed, "dual key roles").shuffle(roles)
        rows = [self._row(pairs, index, role, seed, say) for index, role in zip(chosen, roles, strict=True)]
        return replace(self.poisoned(pairs, seed, rows), words=(self.words,))

    def aim(self, seed: int) -> Aim:
        return Aim(threats=(Threat(self.trigger, self.target, self.stage, self.words),))

    def _row(self, pairs: Pairs, index: int, role: str, seed: int, say: Say) -> PoisonRow:
        pair_id, own = pairs.id(index), pairs.caption(index)
        picture, caption = role != "words_half", role != "image_half"
        text = say(seed, pair_id) if picture and caption else own
        return PoisonRow(
            id=pair_id, role=role, target=self.target if picture and caption else "", original=own,
            caption=self.words.apply(text, pair_id) if caption else text, image=pair_id, index=index,
            mark=0 if picture else None, words=0 if caption else None,
        )  # fmt: skip
