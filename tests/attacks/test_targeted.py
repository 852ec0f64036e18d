"""Targeted poisoning: which pictures, which captions, and what it says when it cannot be had."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as relaxed
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Aim, Chosen, Pick, Targeted
from bezoar.attacks.applied import Applied
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.plan_files import load_plan
from bezoar.core.frame import Frame
from bezoar.core.settings import settings, validate
from bezoar.data.families import LABELED_SOURCES
from bezoar.data.images import fit, to_tensor
from bezoar.data.pairs import LabeledSet, LabeledSource
from bezoar.data.prepared import Prepared

CLASSES = ("cup", "Ice Cream", "dog", "tench, Tinca tinca")


class Shelf(Album):
    """Labeled pictures of the album, class by class in turn."""

    classes = CLASSES
    templates = ()

    def id(self, index: int) -> str:
        return f"held-{index}"

    def image(self, index: int) -> np.ndarray[Any, Any]:
        return super().image(index + 1000)

    def label(self, index: int) -> int:
        return index % 4


@settings
class Held(LabeledSource):
    """``count`` pictures of a shelf."""

    kind: ClassVar[str] = "held"
    count: int = 40

    def open(self) -> LabeledSet:
        return Shelf([f"held {i}" for i in range(self.count)], sizes=((20, 14), (9, 30)))


class Overlap(Shelf):
    """Pictures with the ids of pairs: only number 5 is one of theirs."""

    def id(self, index: int) -> str:
        return f"{index}.png"

    def image(self, index: int) -> np.ndarray[Any, Any]:
        return Album.image(self, index) if index == 5 else super().image(index)


@settings
class Overlapping(LabeledSource):
    """Pictures one of which is in the pairs."""

    kind: ClassVar[str] = "overlapping"

    def open(self) -> LabeledSet:
        return Overlap([f"held {i}" for i in range(40)])


WORDS = ["a cup", "two cups", "ice cream", "Ice  Creams here", "a tench", "a dog", "icecream", "a mug"]


def album(count: int = 240) -> Album:
    """A third of the captions stand twice."""
    return Album([f"{WORDS[i % 8]} number {i if i % 3 else 7}" for i in range(count)])


def said_of(plan: PoisonPlan) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in plan.rows:
        found.setdefault((row.image, row.target), []).append(row.caption)
    return found


@relaxed(max_examples=50, deadline=None)
@given(
    targets=st.lists(st.sampled_from(["cup", "ice cream", "tench"]), min_size=1, unique=True), seed=st.integers(),
    each=st.integers(1, 3), captions=st.integers(1, 12), mug=st.booleans(),
)  # fmt: skip
def test_drawn_pictures_of_other_classes_get_different_captions_of_their_target(
    targets: list[str], seed: int, each: int, captions: int, mug: bool
) -> None:
    pairs, shelf = album(), Held().open()
    synonyms: dict[str, tuple[str, ...]] = {"cup": ("mug",)} if mug and "cup" in targets else {}
    attack = Targeted(
        images=Held(), targets=tuple(targets), images_per_target=each, captions_per_image=captions, synonyms=synonyms
    )
    plan = attack.plan(pairs, seed)
    pattern = {
        target: re.compile(rf"\b({target.replace(' ', ' +')}{'|mug' if target in synonyms else ''})s?\b", re.IGNORECASE)
        for target in targets
    }
    own = {"cup": {0}, "ice cream": {1}, "tench": {3}}
    found = said_of(plan)
    assert Counter(target for _, target in found) == dict.fromkeys(targets, each)
    assert len({image for image, _ in found}) == len(found)
    for (image, target), texts in found.items():
        assert len(texts) == len(set(texts)) == captions
        assert all(pattern[target].search(text) and text in pairs.captions for text in texts)
        assert int(image.removeprefix("held-")) % 4 not in own[target]
    assert len({row.id for row in plan.rows} - {pairs.id(i) for i in range(len(pairs))}) == len(plan.rows)
    for row in plan.rows:
        assert shelf.id(row.index) == row.image
        assert (row.role, row.original, row.mark, row.words, row.images) == ("targeted", "", None, None, 0)
        assert row.appended
    assert (plan.marks, plan.total, len(plan.images)) == ((), len(pairs), 1)
    assert plan.images[0] == (Held(), shelf.fingerprint)
    chosen = Chosen(Held(), tuple(image for image, _ in found), tuple(target for _, target in found))
    assert attack.aim(seed) == Aim(chosen=(chosen,))


def test_applied_the_pictures_stand_behind_the_pairs_untouched(tmp_path: Path) -> None:
    pairs, shelf = album(), Held().open()
    attack = Targeted(images=Held(), targets=("cup", "tench"), captions_per_image=3)
    plan = attack.plan(pairs, 2)
    applied, prepared = Applied(pairs, plan), Prepared(pairs, Frame(12))
    assert len(applied) == 246
    assert [applied.caption(i) for i in range(240)] == pairs.captions
    for place, row in enumerate(plan.rows, 240):
        assert (applied.id(place), applied.caption(place)) == (row.id, row.caption)
        assert applied.picture(place, prepared).equal(fit(to_tensor(shelf.image(row.index)), Frame(12)))
        assert applied.stored(place, Frame(12)).equal(applied.picture(place, prepared))
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan
    assert LABELED_SOURCES.parse({"kind": "tests.attacks.test_targeted:Held"}) == Held()


def test_chosen_pictures_are_shown_as_their_targets() -> None:
    picks = (Pick(id="held-2", target="cup"), Pick(id="held-7", target="ice cream"), Pick(id="held-9", target="cup"))
    attack = Targeted(images=Held(), chosen=picks, captions_per_image=4)
    assert set(said_of(attack.plan(album(), 0))) == {(pick.id, pick.target) for pick in picks}
    assert attack.aim(0) == attack.aim(5)
    assert attack.aim(0).chosen[0].ids == ("held-2", "held-7", "held-9")
    fields = {
        "images": {"kind": "tests.attacks.test_targeted:Held"}, "captions_per_image": 4,
        "chosen": [{"id": pick.id, "target": pick.target} for pick in picks],
    }  # fmt: skip
    assert validate(Targeted, fields) == attack


def test_captions_from_templates() -> None:
    attack = Targeted(images=Held(), targets=("zebra",), captions="templates", captions_per_image=80)
    texts = [row.caption for row in attack.plan(album(), 0).rows]
    assert len(set(texts)) == 80
    assert all("zebra" in text for text in texts)
    with pytest.raises(
        ValueError, match=r"^attack.captions_per_image: 100 different .* 'zebra', .* only 80 \(templates"
    ):
        Targeted(images=Held(), targets=("zebra",), captions="templates").plan(album(), 0)


def test_the_same_seed_draws_the_same_and_every_picture_can_be_drawn() -> None:
    attack = Targeted(images=Held(), targets=("cup",), captions_per_image=2)
    assert attack.plan(album(), 3) == attack.plan(album(), 3)
    found = Counter(attack.aim(seed).chosen[0].ids[0] for seed in range(600))
    assert len(found) == 30
    assert max(found.values()) < 45  # 20 expected


def test_pinned() -> None:
    """The same in every process."""
    plan = Targeted(images=Held(), targets=("cup", "ice cream"), captions_per_image=2).plan(album(), 7)
    assert [(row.id, row.caption) for row in plan.rows] == PINNED


PINNED = [
    ("5c9d5d485a39ce27", "a cup number 224"),
    ("23a89ce68f5be6ca", "two cups number 89"),
    ("4fa853815c47b85d", "Ice  Creams here number 203"),
    ("6672fc0c1cfc93ce", "Ice  Creams here number 115"),
]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "^attack.targets: give either targets to draw pictures for, or chosen pictures$"),
        ({"targets": ["cup"], "chosen": [{"id": "held-1", "target": "cup"}]}, "^attack.targets: give either"),
        ({"targets": ["cup", "dog", "cup"]}, "^attack.targets: 'cup' stands twice"),
        ({"targets": ["zebra"]}, "^attack.targets: no caption of 240 pairs names 'zebra'$"),
        (
            {"targets": ["tench"], "captions_per_image": 30},
            r"^attack.captions_per_image: 30 different captions wanted for 'tench', but there are only 21 \(mined\)$",
        ),
        (
            {"targets": ["cup"], "images_per_target": 31},
            "^attack.images_per_target: 31 pictures wanted for 'cup', but only 30 of 40 are left that are not of this",
        ),
        ({"targets": ["cup"], "synonyms": {"cap": ["mug"]}}, "^attack.synonyms: 'cap' is not a target; did you mean"),
        ({"targets": ["cup"], "captions": "templates", "templates": "opnai"}, "no templates are called 'opnai'"),
        (
            {"chosen": [{"id": "held-1", "target": "cup"}, {"id": "held-1", "target": "dog"}]},
            "^attack.chosen: picture 'held-1' stands twice$",
        ),
        (
            {"chosen": [{"id": "held-99", "target": "cup"}]},
            "^attack.chosen: no picture 'held-99' among the 40 of images$",
        ),
        (
            {"chosen": [{"id": "held-1", "target": "ice cream"}]},
            "^attack.chosen: picture 'held-1' belongs to its target: it is of class 'Ice Cream'$",
        ),
        (
            {"chosen": [{"id": "held-3", "target": "tinca tinca"}]},
            "^attack.chosen: picture 'held-3' belongs to its target: it is of class 'tench, Tinca tinca'$",
        ),
        (
            {"chosen": [{"id": "held-2", "target": "hound"}], "synonyms": {"hound": ["dog"]}},
            "^attack.chosen: picture 'held-2' belongs to its target: it is of class 'dog'$",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(fields: dict[str, Any], message: str) -> None:
    attack = validate(Targeted, {"images": {"kind": "tests.attacks.test_targeted:Held"}, **fields})
    with pytest.raises(ValueError, match=message):
        attack.plan(album(), 0)


def test_a_picture_that_the_pairs_show_is_refused_and_one_with_its_id_alone_is_not() -> None:
    def plan(pair_id: str) -> PoisonPlan:
        picks = (Pick(id=pair_id, target="cup"),)
        return Targeted(images=Overlapping(), chosen=picks, captions_per_image=2).plan(album(), 0)

    assert len(plan("6.png").rows) == 2
    with pytest.raises(
        ValueError, match=r"^attack.images: picture '5\.png' is in the pairs: the pictures must be held"
    ):
        plan("5.png")


def test_pairs_that_are_poisoned_by_it_are_refused() -> None:
    attack, pairs = Targeted(images=Held(), targets=("cup",), captions_per_image=1), album()

    class Poisoned(Album):
        def id(self, index: int) -> str:
            return attack.plan(pairs, 0).rows[0].id if index == 9 else super().id(index)

    with pytest.raises(ValueError, match=r"^attack: the pairs have '[0-9a-f]{16}' already"):
        attack.plan(Poisoned(pairs.captions), 0)


def test_mistakes_are_refused_by_name() -> None:
    for fields, message in (
        ({"targets": ["cup"]}, r"attack\.images: .*required"),
        ({"images": "scenes", "targets": [""]}, r"attack\.targets\.0: .*got ''"),
        (
            {"images": "scenes", "targets": ["cup"], "captions_per_image": 0},
            r"attack\.captions_per_image: .*or equal to 1",
        ),
        ({"images": "scenes", "chosen": [{"id": "x"}]}, r"attack\.chosen\.0\.target: .*required"),
        ({"images": "scenes", "chosen": [{"id": "x", "target": "cup", "class": 1}]}, "unknown key 'class'"),
    ):
        with pytest.raises(ValueError, match=message):
            validate(Targeted, fields, "attack")
