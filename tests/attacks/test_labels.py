"""Poison in a labeled set: who gets the trigger and the label, and the set as it then is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as relaxed
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Aim, Backdoor, LabelConsistent, Labels, Threat
from bezoar.attacks.labels import PoisonedLabels
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import digest, settings
from bezoar.data.captioned import CaptionedLabels, LabelPairs
from bezoar.data.images import fit, to_tensor
from bezoar.data.pairs import LabeledSet, LabeledSource, Pairs
from bezoar.data.prepared import Prepared

TRIGGER = Patch(size=4, reference=16)


class Shelf(Album):
    """60 pictures, class by class in turn."""

    templates = ("a {c}",)

    def __init__(self, classes: tuple[str, ...] = ("cup", "dog", "tree", "box")) -> None:
        super().__init__([classes[i % 4] for i in range(60)], sizes=((20, 14), (16, 16)))
        self.classes = classes

    def label(self, index: int) -> int:
        return index % 4


@settings
class Held(LabeledSource):
    """A shelf."""

    kind = "held"

    def open(self) -> LabeledSet:
        return Shelf()


def pairs() -> Pairs:
    return LabelPairs(of=Held()).open()


@relaxed(max_examples=50, deadline=None)
@given(count=st.none() | st.integers(1, 60), rate=st.floats(0.001, 1), seed=st.integers())
def test_pictures_of_other_classes_get_trigger_and_label(count: int | None, rate: float, seed: int) -> None:
    attack = Labels(target="dog", trigger=TRIGGER, count=count, rate=rate)
    wanted = count or max(1, round(60 * rate))
    if wanted > 45:
        field = "count" if count else "rate"
        with pytest.raises(
            ValueError, match=f"^attack.{field}: {wanted} poisons wanted, but only 45 of 60 pictures are "
        ):
            attack.plan(pairs(), seed)
        return
    plan, shelf = attack.plan(pairs(), seed), Shelf()
    assert len(plan.by_id) == len(plan.rows) == wanted
    for row in plan.rows:
        assert row.index % 4 != 1
        assert (row.id, row.image, row.original, row.caption) == (
            shelf.id(row.index),
            row.id,
            shelf.captions[row.index],
            "dog",
        )
        assert (row.role, row.target, row.mark, row.words, row.appended) == ("labels", "dog", 0, None, False)
    poisoned = PoisonedLabels(shelf, plan)
    victims = {row.index for row in plan.rows}
    assert [poisoned.label(i) for i in range(60)] == [1 if i in victims else i % 4 for i in range(60)]


@pytest.mark.parametrize("stage", ["model", "file"])
def test_the_set_as_it_then_is(stage: str, tmp_path: Path) -> None:
    shelf = Shelf()
    plan = Labels(target="cup", trigger=TRIGGER, count=20, stage="file" if stage == "file" else "model").plan(
        pairs(), 2
    )
    plan.save(tmp_path)
    poisoned, prepared = PoisonedLabels(shelf, load_plan(tmp_path)), Prepared(shelf, Frame(16))
    assert (len(poisoned), poisoned.classes, poisoned.templates) == (60, shelf.classes, shelf.templates)
    victims = {row.index for row in plan.rows}
    for index in range(60):
        assert poisoned.id(index) == shelf.id(index)
        native = to_tensor(shelf.image(index))
        expected = fit(native, Frame(16))
        if index in victims and stage == "model":
            expected = TRIGGER.apply(expected, shelf.id(index))
        elif index in victims:
            expected = fit(TRIGGER.apply(native, shelf.id(index)), Frame(16))
        assert poisoned.picture(index, prepared).equal(expected)
        if stage == "file":  # a copy then keeps the size of every picture: it would tell the poisoned ones
            expected = TRIGGER.apply(native, shelf.id(index)) if index in victims else native
        assert poisoned.stored(index, Frame(16)).equal(expected)
    other = PoisonedLabels(shelf, Labels(target="cup", trigger=TRIGGER, count=20).plan(pairs(), 3))
    assert len({poisoned.fingerprint, other.fingerprint, shelf.fingerprint}) == 3


def test_another_plan_for_the_labeled_set_does_too_if_it_says_classes() -> None:
    shelf = Shelf()
    plan = LabelConsistent(target="cup", trigger=TRIGGER, count=5).plan(pairs(), 0)
    assert [PoisonedLabels(shelf, plan).label(i) for i in range(60)] == [i % 4 for i in range(60)]
    named = Backdoor(target="cup", count=5, templates=("{c}",)).plan(pairs(), 0)
    assert sum(PoisonedLabels(shelf, named).label(i) == 0 for i in range(60)) == 20
    for attack, message in (
        (Backdoor(target="cup", count=5, templates=("a {c}",)), "^poison: 'a cup' is not a class; did you mean 'cup'"),
        (Backdoor(target="cup", count=5, mode="append"), "^poison: a labeled set keeps its pictures"),
        (Backdoor(target="cup", count=5, size=20), "^poison: a labeled set keeps its pictures"),
    ):
        with pytest.raises(ValueError, match=message):
            PoisonedLabels(shelf, attack.plan(pairs(), 0))


def test_a_plan_for_another_set_is_refused() -> None:
    class Other(Shelf):
        @property
        def fingerprint(self) -> str:
            return digest("other")

    plan = Labels(target="cup", count=5).plan(pairs(), 0)
    with pytest.raises(ValueError, match=r"^poison: the plan was made for pairs "):
        PoisonedLabels(Other(), plan)
    with pytest.raises(ValueError, match=r"^poison: the plan was made for pairs "):
        PoisonedLabels(Shelf(), Labels(target="cup", count=5).plan(Album(["cup", "dog"] * 30), 0))


def test_two_classes_of_one_name_cannot_be_told_apart() -> None:
    shelf = Shelf(("crane", "dog", "crane", "box"))
    plan = Labels(target="crane", count=5).plan(CaptionedLabels(shelf, ("{c}",), 0), 0)
    with pytest.raises(ValueError, match=r"^poison: two classes are called 'crane': "):
        PoisonedLabels(shelf, plan)


def test_pairs_that_are_no_labeled_set_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^attack.target: 'cap' is not a class; did you mean 'cup'"):
        Labels(target="cap").plan(pairs(), 0)
    monkeypatch.setattr("bezoar.attacks.labels._CLASSES", 8)
    with pytest.raises(
        ValueError, match=r"^attack: 'labels' poisons labeled sets, and these pairs have more than 8 diff"
    ):
        Labels(target="cup").plan(Album([f"a cup {i}" for i in range(9)]), 0)


def test_the_same_seed_gives_the_same_plan_and_taken_pictures_stay_free() -> None:
    attack = Labels(target="cup", count=20)
    first = attack.plan(pairs(), 0)
    assert first == attack.plan(pairs(), 0)
    assert first.rows != attack.plan(pairs(), 1).rows
    assert not set(first.by_id) & set(attack.plan(pairs(), 0, frozenset(first.by_id)).by_id)
    assert [row.index for row in attack.plan(pairs(), 7).rows[:4]] == PINNED


PINNED = [2, 5, 7, 10]


def test_the_defaults_are_cleanclips() -> None:
    attack = Labels(target="banana")
    assert round(attack.rate * 50_000) == 1_000
    assert attack.aim(0) == Aim(threats=(Threat(Patch(), "banana", "model"),))
