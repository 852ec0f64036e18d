"""Several attacks at once: nobody twice, the marks of each, the union of what they aim at, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.album import Album

from bezoar.attacks import Attack, Backdoor, CaptionBackdoor, DualKey, LabelConsistent, Pick, Planned, Several, Targeted
from bezoar.attacks.applied import Applied
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Blended, Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import dump, validate
from bezoar.data import SceneClasses
from bezoar.data.prepared import Prepared

SMALL, WIDE, BLEND = Patch(size=4, reference=16), Patch(size=6, reference=16), Blended()
CUP = Backdoor(target="cup", trigger=SMALL, count=20)
DOG = Backdoor(target="dog", trigger=BLEND, count=20)
HELD = SceneClasses(split="test", count=8)
AIMED = Targeted(images=HELD, targets=("cup",), captions_per_image=3)


def album(count: int = 100) -> Album:
    return Album([f"{('a cup', 'a dog', 'a tree', 'a box')[i % 4]} {i}" for i in range(count)])


def several(*attacks: Attack, seeds: tuple[int, ...] = ()) -> Several:
    return Several(attacks=attacks, seeds=seeds)


def test_each_is_planned_on_what_the_earlier_ones_left(tmp_path: Path) -> None:
    attack = several(CUP, DOG, AIMED, CaptionBackdoor(target="tree", count=5))
    pairs = album()
    plan = attack.plan(pairs, 3)
    first = CUP.plan(pairs, 3)
    second = DOG.plan(pairs, 3, frozenset(first.by_id))
    aimed = AIMED.plan(pairs, 3)
    assert {row.id for row in plan.rows if row.target == "cup" and row.role == "backdoor"} == set(first.by_id)
    assert {row.id for row in plan.rows if row.target == "dog"} == set(second.by_id)
    assert {row for row in plan.rows if row.role == "targeted"} == set(aimed.rows)
    assert len(plan.by_id) == len(plan.rows) == 48
    assert [mark.trigger for mark in plan.marks] == [SMALL, BLEND]
    assert (plan.attack, plan.seed, plan.images, len(plan.words)) == (attack, 3, aimed.images, 1)
    for row in plan.rows:
        assert row.mark == {("backdoor", "cup"): 0, ("backdoor", "dog"): 1}.get((row.role, row.target))
        assert row.words == (0 if row.role == "caption_backdoor" else None)
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_applied_each_has_its_own_trigger() -> None:
    pairs = album()
    plan = several(CUP, Backdoor(target="cup", trigger=WIDE, count=20)).plan(pairs, 0)
    applied, prepared = Applied(pairs, plan), Prepared(pairs, Frame(16))
    for row in plan.rows:
        assert row.mark is not None
        expected = (SMALL, WIDE)[row.mark].apply(prepared[row.index], row.image)
        assert applied.picture(row.index, prepared).equal(expected)


def test_appended_rows_of_two_attacks_are_of_different_pictures() -> None:
    both = several(*(Backdoor(target="cup", trigger=one, count=30, mode="append") for one in (SMALL, WIDE)))
    plan = both.plan(album(), 0)
    assert len({row.image for row in plan.rows}) == len(plan.by_id) == 60
    assert len(Applied(album(), plan)) == 160


def test_taken_pairs_are_taken_for_all() -> None:
    attack = several(CUP, DOG)
    first = attack.plan(album(), 0)
    with pytest.raises(ValueError, match=r"^attack.count: 20 poisons wanted, but only"):
        attack.plan(album(), 0, frozenset(album().id(i) for i in range(70)))
    assert not set(first.by_id) & set(attack.plan(album(200), 0, frozenset(first.by_id)).by_id)


def test_the_aim_is_the_union() -> None:
    dual = DualKey(target="tree", trigger=SMALL, count=5)
    aim = several(CUP, DOG, AIMED, dual).aim(3)
    assert aim.threats == CUP.aim(3).threats + DOG.aim(3).threats + dual.aim(3).threats
    assert aim.chosen == AIMED.aim(3).chosen


def test_seeds_of_their_own() -> None:
    pairs = album()
    plan = several(CUP, DOG, seeds=(5, 9)).plan(pairs, 0)
    assert {row.id for row in plan.rows if row.target == "cup"} == set(CUP.plan(pairs, 5).by_id)
    assert plan.rows == several(CUP, DOG, seeds=(5, 9)).plan(pairs, 1).rows
    assert several(CUP, AIMED, seeds=(1, 4)).aim(0).chosen == AIMED.aim(4).chosen
    with pytest.raises(ValueError, match="seeds: 1 seeds for 2 attacks"):
        several(CUP, DOG, seeds=(1,))
    with pytest.raises(ValueError, match=r"attacks.1.size: one of several attacks leaves no clean pairs out"):
        several(CUP, dataclasses.replace(DOG, size=20))


def test_a_plan_made_before_beside_another(tmp_path: Path) -> None:
    pairs = album()
    made = CUP.plan(pairs, 4)
    made.save(tmp_path)
    plan = several(Planned(folder=str(tmp_path)), DOG).plan(pairs, 0)
    assert set(made.by_id) < set(plan.by_id)
    message = f"^poison: the plan in {tmp_path} overlaps another: both poison pair "
    with pytest.raises(ValueError, match=message):
        several(Backdoor(target="dog", trigger=BLEND, count=70), Planned(folder=str(tmp_path))).plan(pairs, 0)


def test_contradictions_are_refused_before_the_pairs_are_read() -> None:
    class Slow(Album):
        def caption(self, index: int) -> str:
            raise AssertionError("six million of these")

    pick, other = Pick(id=HELD.open().id(3), target="cup"), Pick(id=HELD.open().id(3), target="dog")
    for attacks, message in (
        (
            (CUP, LabelConsistent(target="dog", trigger=SMALL)),
            r"^attack.attacks: the same trigger \('patch'\) is to call up both 'cup' and 'dog'$",
        ),
        (
            (CaptionBackdoor(target="cup"), CaptionBackdoor(target="dog")),
            r"^attack.attacks: the same trigger \('phrase'\) is to call up both 'cup' and 'dog'$",
        ),
        (
            tuple(Targeted(images=HELD, chosen=(one,), captions_per_image=2) for one in (pick, other)),
            f"^attack.attacks: picture '{pick.id}' is to be taken for both 'cup' and 'dog'$",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            several(*attacks).plan(Slow(["a"] * 9), 0)


def test_one_trigger_with_different_words_is_no_contradiction() -> None:
    first, second = (validate(DualKey, {"target": t, "words": f"phrase:{t}er", "count": 5}) for t in ("cup", "dog"))
    assert len(several(first, second).plan(album(), 0).rows) == 30


def test_it_is_written_and_read_as_any_other_attack() -> None:
    attack = several(CUP, AIMED, seeds=(1, 2))
    fields = dump(attack)
    assert validate(Several, {key: value for key, value in fields.items() if key != "kind"}) == attack
    with pytest.raises(ValueError, match=r"attack\.attacks: .*at least 2 items"):
        validate(Several, {"attacks": [dump(CUP)]}, "attack")
    with pytest.raises(
        ValueError, match=r"attack\.attacks\.1: kind: 'backdor' is not an attack; did you mean 'backdoor'"
    ):
        validate(Several, {"attacks": [dump(CUP), {"kind": "backdor"}]}, "attack")
    assert attack.pinned() == attack
