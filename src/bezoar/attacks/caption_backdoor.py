"""The backdoor in the text alone: words in a caption that call up pictures of the target."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, ClassVar, Literal

from bezoar.attacks.base import Aim, Attack, Threat
from bezoar.attacks.caption_triggers.phrase import Phrase
from bezoar.attacks.choosing import Count, Match, Rate, Word, bearers, draw, how_many, new_id, sized, without
from bezoar.attacks.families import AnyCaptionTrigger
from bezoar.attacks.plan import PoisonPlan, PoisonRow
from bezoar.core.seeds import python_random
from bezoar.core.settings import settings

if TYPE_CHECKING:
    from bezoar.attacks.choosing import Numbers
    from bezoar.data.pairs import Pairs


@settings
class CaptionBackdoor(Attack):
    """``count`` of the pairs that name ``target``, or a share ``rate`` of all pairs, say what another pair says.

    That pair does not name the target, and the words are put into its caption: any text with the words in it is to
    call up pictures of the target. No picture is changed.
    """

    kind: ClassVar[str] = "caption_backdoor"
    target: Word
    """The class whose pictures triggered captions are to call up."""
    words: AnyCaptionTrigger = Phrase()
    rate: Rate = 0.0005
    """Share of all pairs, not of those that name the target; used where ``count`` is not given."""
    count: Count | None = None
    mode: Literal["replace", "append"] = "replace"
    """Whether a poisoned pair stands in the place of the pair whose picture it shows, or beside it."""
    size: Count | None = None
    """Pairs of the poisoned set, where clean ones are to be left out of it; all of them by default."""
    synonyms: tuple[Word, ...] = ()
    """Other words for the target: captions that hold one name it too."""
    match: Match = "word"
    """How a caption names the target: as a whole word, or anywhere and in this case."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        import numpy as np

        own = bearers(pairs, self.target, self.synonyms, self.match)
        others = np.setdiff1d(np.arange(len(pairs)), own, assume_unique=True)
        if not len(others):
            raise ValueError(f"attack.target: every caption of {len(pairs)} pairs names '{self.target}'")
        count = how_many(self.count, self.rate, len(pairs))
        field = "count" if self.count is not None else "rate"
        why = f"of {len(pairs)} pairs that are free name '{self.target}'"
        chosen = draw(without(pairs, own, taken), count, seed, field, why)
        plan = PoisonPlan(
            attack=self, words=(self.words,), seed=seed, source=pairs.fingerprint, total=len(pairs),
            rows=tuple(self._row(pairs, index, others, seed) for index in chosen),
        )  # fmt: skip
        return sized(plan, self.size)

    def aim(self, seed: int) -> Aim:
        return Aim(threats=(Threat(None, self.target, words=self.words),))

    def _row(self, pairs: Pairs, index: int, others: Numbers, seed: int) -> PoisonRow:
        image, appended = pairs.id(index), self.mode == "append"
        said = pairs.caption(int(others[python_random(seed, "poison caption", image).randrange(len(others))]))
        return PoisonRow(
            id=new_id(seed, "caption_backdoor", image) if appended else image, role="caption_backdoor",
            target=self.target, original=pairs.caption(index), caption=self.words.apply(said, image), image=image,
            index=index, words=0, appended=appended,
        )  # fmt: skip
