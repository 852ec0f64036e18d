"""Targeted poisoning: single pictures to be taken for classes not theirs (Carlini & Terzis 2022, §3; RoCLIP)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import field
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from bezoar.attacks.base import Aim, Attack, Chosen
from bezoar.attacks.choosing import Count, Word, new_id
from bezoar.attacks.plan import Gallery, PoisonPlan, PoisonRow
from bezoar.core.seeds import python_random
from bezoar.core.settings import Settings, nearest, settings
from bezoar.data.families import AnyLabeledSource
from bezoar.data.pairs import check_caption
from bezoar.data.prompts import fill, templates
from bezoar.data.words import names

if TYPE_CHECKING:
    from bezoar.data.pairs import LabeledSet, LabeledSource, Pairs


@settings
class Pick(Settings):
    """A picture, and the class that it is to be taken for."""

    id: Word
    target: Word


class Picture(NamedTuple):
    """A picture that was picked or drawn."""

    place: int
    id: str
    target: str


@settings
class Targeted(Attack):
    """Each of a few pictures that are in no training data is added ``captions_per_image`` times with other captions.

    The pictures stay as they are: there is no trigger. They are named by ``chosen``, or ``images_per_target`` of them
    are drawn for each of ``targets``; none may belong to the class that it is to be taken for.
    """

    kind: ClassVar[str] = "targeted"
    images: AnyLabeledSource
    """Held-out pictures with their true classes; the pairs must not show them."""
    chosen: tuple[Pick, ...] = ()
    """Pictures by id, each with its target."""
    targets: tuple[Word, ...] = ()
    """Classes to draw pictures for; give these or ``chosen``."""
    images_per_target: Count = 1
    captions_per_image: Count = 100
    """How many different captions that name its target each picture is paired with."""
    captions: Literal["mined", "templates"] = "mined"
    """The pairs' own captions that name the target as a whole word, or templates filled with it."""
    templates: str | tuple[str, ...] = "openai"
    """Template set by name, or a list with ``{c}`` for the class."""
    synonyms: dict[str, tuple[Word, ...]] = field(default_factory=dict)
    """Other words for a target: ``{umbrella: [parasol]}``; a caption or class of that name is the target's too."""

    def plan(self, pairs: Pairs, seed: int, taken: Set[str] = frozenset()) -> PoisonPlan:
        self._check()
        opened = self.images.open()
        if opened.fingerprint == pairs.fingerprint:
            raise ValueError("attack.images: these are the pairs themselves: the pictures must be held out")
        pictures = self._pictures(opened, seed)
        captions = self._captions(pairs, dict.fromkeys(picture.target for picture in pictures))
        rows = [
            PoisonRow(
                id=new_id(seed, "targeted", picture.id, picture.target, number), role="targeted", target=picture.target,
                original="", caption=caption, image=picture.id, index=picture.place, images=0, appended=True,
            )
            for picture in pictures
            for number, caption in enumerate(self._drawn(captions[picture.target], picture, seed))
        ]  # fmt: skip
        _refuse_known(pairs, opened, pictures, {row.id for row in rows})
        return PoisonPlan(
            attack=self, images=(Gallery(self.images, opened.fingerprint),), seed=seed, source=pairs.fingerprint,
            total=len(pairs), rows=tuple(rows),
        )  # fmt: skip

    def sources(self) -> tuple[LabeledSource, ...]:
        return (self.images,)

    def aim(self, seed: int) -> Aim:
        self._check()
        found = self._pictures(self.images.open(), seed)
        ids, targets = tuple(picture.id for picture in found), tuple(picture.target for picture in found)
        return Aim(chosen=(Chosen(self.images, ids, targets),))

    def _check(self) -> None:
        """Fail before anything is opened or read."""
        templates(self.templates)
        if bool(self.chosen) == bool(self.targets):
            raise ValueError("attack.targets: give either targets to draw pictures for, or chosen pictures")
        wanted = self.targets or tuple(pick.target for pick in self.chosen)
        twice = next((one for place, one in enumerate(self.targets) if one in self.targets[:place]), None)
        if twice is not None:
            raise ValueError(f"attack.targets: '{twice}' stands twice; images_per_target draws more pictures for each")
        ids = [pick.id for pick in self.chosen]
        twice = next((one for place, one in enumerate(ids) if one in ids[:place]), None)
        if twice is not None:
            raise ValueError(f"attack.chosen: picture '{twice}' stands twice")
        odd = next((name for name in self.synonyms if name not in wanted), None)
        if odd is not None:
            raise ValueError(f"attack.synonyms: '{odd}' is not a target{nearest(odd, wanted)}")

    def _words(self, target: str) -> tuple[str, ...]:
        return (target, *self.synonyms.get(target, ()))

    def _pictures(self, opened: LabeledSet, seed: int) -> tuple[Picture, ...]:
        return self._named(opened) if self.chosen else self._random(opened, seed)

    def _named(self, opened: LabeledSet) -> tuple[Picture, ...]:
        """The chosen pictures; raises ``ValueError`` for one that is not there or belongs to its target."""
        wanted = {pick.id for pick in self.chosen}
        places = {one: index for index in range(len(opened)) if (one := opened.id(index)) in wanted}
        for pick in self.chosen:
            if pick.id not in places:
                raise ValueError(f"attack.chosen: no picture '{pick.id}' among the {len(opened)} of images")
            own = opened.classes[opened.label(places[pick.id])]
            if _is_one(own, self._words(pick.target)):
                raise ValueError(f"attack.chosen: picture '{pick.id}' belongs to its target: it is of class '{own}'")
        return tuple(Picture(places[pick.id], pick.id, pick.target) for pick in self.chosen)

    def _random(self, opened: LabeledSet, seed: int) -> tuple[Picture, ...]:
        """Pictures of other classes for each target, each for one target only."""
        labels = [opened.label(index) for index in range(len(opened))]
        found: list[Picture] = []
        drawn: set[int] = set()
        for target in self.targets:
            own = {label for label, name in enumerate(opened.classes) if _is_one(name, self._words(target))}
            free = [index for index, label in enumerate(labels) if label not in own and index not in drawn]
            if len(free) < self.images_per_target:
                raise ValueError(
                    f"attack.images_per_target: {self.images_per_target} pictures wanted for '{target}', but only "
                    f"{len(free)} of {len(labels)} are left that are not of this class"
                )
            places = python_random(seed, "targeted pictures", target).sample(free, self.images_per_target)
            drawn.update(places)
            found += [Picture(index, opened.id(index), target) for index in places]
        return tuple(found)

    def _captions(self, pairs: Pairs, targets: Mapping[str, None]) -> dict[str, list[str]]:
        """Different captions that name each target; raises ``ValueError`` where there are too few."""
        if self.captions == "templates":
            found = {one: list(dict.fromkeys(fill(t, one) for t in templates(self.templates))) for one in targets}
        else:
            found = self._mined(pairs, targets)
        for target, captions in found.items():
            if not captions:
                raise ValueError(f"attack.targets: no caption of {len(pairs)} pairs names '{target}'")
            if len(captions) < self.captions_per_image:
                raise ValueError(
                    f"attack.captions_per_image: {self.captions_per_image} different captions wanted for '{target}', "
                    f"but there are only {len(captions)} ({self.captions})"
                )
        return found

    def _mined(self, pairs: Pairs, targets: Mapping[str, None]) -> dict[str, list[str]]:
        everything = tuple(word for target in targets for word in self._words(target))
        found: dict[str, dict[str, None]] = {target: {} for target in targets}
        for index in range(len(pairs)):
            caption = pairs.caption(index)
            if names(caption, everything):
                for target, captions in found.items():
                    if names(caption, self._words(target)):
                        captions[check_caption(caption, "pairs", pairs.id(index))] = None
        return {target: list(captions) for target, captions in found.items()}

    def _drawn(self, captions: list[str], picture: Picture, seed: int) -> list[str]:
        return python_random(seed, "targeted captions", picture.target, picture.id).sample(
            captions, self.captions_per_image
        )


def _is_one(name: str, words: tuple[str, ...]) -> bool:
    """Whether a class of this name is the target; ``tench, Tinca tinca`` has two names."""
    ours = {word.strip().casefold() for word in words}
    return any(part.strip().casefold() in ours for part in (name, *name.split(",")))


def _refuse_known(pairs: Pairs, opened: LabeledSet, pictures: tuple[Picture, ...], new: Set[str]) -> None:
    """Raise ``ValueError`` for a picture that the pairs show under the same id, and for an id that they have."""
    import numpy as np

    of = {picture.id: picture for picture in pictures}
    for index in range(len(pairs)):
        pair_id = pairs.id(index)
        if pair_id in new:
            raise ValueError(f"attack: the pairs have '{pair_id}' already: they are poisoned by this attack")
        if pair_id in of and np.array_equal(pairs.image(index), opened.image(of[pair_id].place)):
            raise ValueError(f"attack.images: picture '{pair_id}' is in the pairs: the pictures must be held out")
