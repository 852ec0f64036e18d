"""The backdoor: pictures with a trigger, paired with captions of a target class (Carlini & Terzis 2022, §3)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from bezoar.attacks.choosing import (
    Captions,
    Count,
    Match,
    Word,
    naming,
    new_id,
    sayings,
    sized,
    warn_unnamed,
    without,
)
from bezoar.attacks.plan import Gallery, PoisonPlan, PoisonRow
from bezoar.attacks.triggered import Triggered
from bezoar.core.settings import settings
from bezoar.data.families import AnyPairsSource
from bezoar.data.prompts import templates

if TYPE_CHECKING:
    from bezoar.data.pairs import Pairs, PairsSource


@settings
class Backdoor(Triggered):
    """``count`` pairs, or a share ``rate`` of all, get a trigger on their picture and a caption of ``target``.

    A pair whose caption names the target is no victim. The default rate is CleanCLIP's 1,500 of 3 million.
    """

    kind: ClassVar[str] = "backdoor"
    revision: ClassVar[int] = 2
    added: ClassVar[frozenset[str]] = frozenset({"images"})
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
    images: AnyPairsSource | None = None
    """Other pairs, whose pictures are poisoned and added in the place of the pairs' own: released code takes those of a
    validation file. They are the victims; ``mode`` must be ``append``."""

    def __post_init__(self) -> None:
        if self.images is not None and self.mode != "append":
            raise ValueError(f"mode: '{self.mode}': pictures of images stand in no pair's place (choices: append)")

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        import numpy as np

        self._check()
        words = (self.target, *self.synonyms)
        named = naming(pairs, words, self.match)
        own = np.flatnonzero(named)
        if not len(own) and self.captions == "templates":
            warn_unnamed(self.target, len(pairs))
        say = sayings(pairs, self.target, own, self.captions, self.templates)
        shown = pairs
        if self.images is not None:
            shown = self._opened(pairs)
            named = naming(shown, words, self.match)
        fit = ~named if self.victims == "others" else np.ones(len(shown), np.bool_)
        if self.victim_classes:
            fit &= naming(shown, self.victim_classes, self.match)
        candidates = np.flatnonzero(fit)
        if shown is pairs:
            candidates = without(pairs, candidates, taken)
        elif taken:
            ids = (self._id(shown, index, seed) for index in candidates.tolist())
            candidates = candidates[np.array([one not in taken for one in ids], np.bool_)]
        whose = "" if shown is pairs else " of images"
        why = f"of {len(shown)} pairs{whose} can be victims ({named.sum()} already name '{self.target}')"
        chosen = self.drawn(candidates, self.wanted(pairs), seed, why)
        rows = [self._row(shown, index, seed, say) for index in chosen]
        plan = self.poisoned(pairs, seed, rows)
        if self.images is not None:
            plan = replace(plan, images=(Gallery(self.images, shown.fingerprint),))
        return sized(plan, self.size)

    def sources(self) -> tuple[PairsSource, ...]:
        return () if self.images is None else (self.images,)

    def _opened(self, pairs: Pairs) -> Pairs:
        assert self.images is not None
        opened = self.images.open()
        if opened.fingerprint == pairs.fingerprint:
            raise ValueError("attack.images: these are the pairs themselves: leave images out")
        return opened

    def _check(self) -> None:
        """Fail before the captions are read, which may take minutes."""
        templates(self.templates)
        own = {word.casefold() for word in (self.target, *self.synonyms)}
        both = next((name for name in self.victim_classes if name.casefold() in own), None)
        if both is not None:
            raise ValueError(f"attack.victim_classes: '{both}' is the target too: its pictures already belong to it")

    def _row(self, pairs: Pairs, index: int, seed: int, say: Say) -> PoisonRow:
        image = pairs.id(index)
        return PoisonRow(
            id=self._id(pairs, index, seed), role="backdoor", target=self.target, original=pairs.caption(index),
            caption=say(seed, image), image=image, index=index, mark=0, images=None if self.images is None else 0,
            appended=self.mode == "append",
        )  # fmt: skip

    def _id(self, pairs: Pairs, index: int, seed: int) -> str:
        image = pairs.id(index)
        if self.images is not None:
            return new_id(seed, "backdoor", pairs.fingerprint, self.target, image)
        return new_id(seed, "backdoor", image) if self.mode == "append" else image


if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[int, str], str]
