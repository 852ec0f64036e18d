"""A plan from a folder: as it was, on the pairs it was made for, or on others that hold its ids if it is told so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.album import Album

from bezoar.attacks import Aim, Backdoor, Planned, Several, Targeted, Threat
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Patch
from bezoar.core.settings import digest
from bezoar.data import SceneClasses

PAIRS = Album([f"caption {i}" for i in range(20)])
ATTACK = Backdoor(target="cup", trigger=Patch(size=4, reference=16), count=5, stage="file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ATTACK.plan(PAIRS, 4).save(tmp_path / "poison")
    return tmp_path / "poison"


def test_a_plan_is_applied_as_it_was_made(folder: Path) -> None:
    made = ATTACK.plan(PAIRS, 4)
    for seed in (4, 5):
        assert Planned(folder=str(folder)).plan(PAIRS, seed) == made
    assert Planned(folder=str(folder), digest=made.digest).plan(PAIRS, 0).digest == made.digest
    aim = Aim(threats=(Threat(ATTACK.trigger, "cup", "file"),))
    assert Planned(folder=str(folder)).aim(0) == ATTACK.aim(4) == aim


def test_other_pairs_are_refused(folder: Path) -> None:
    other = Album([*PAIRS.captions[:-1], "another"])
    with pytest.raises(
        ValueError,
        match=rf"was made for pairs {PAIRS.fingerprint}, these are {other.fingerprint}; .*--other-pairs",
    ):
        Planned(folder=str(folder)).plan(other, 0)


def test_another_plan_is_refused(folder: Path) -> None:
    held = ATTACK.plan(PAIRS, 4).digest
    other = Planned(folder=str(folder), digest="0123456789abcdef")
    for act in (lambda: other.plan(PAIRS, 0), lambda: other.aim(0)):
        with pytest.raises(ValueError, match=f"^poison: {folder} holds plan {held}, not 0123456789abcdef$"):
            act()


def test_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"poison\.json: cannot be read"):
        Planned(folder=str(tmp_path)).plan(PAIRS, 0)


def test_pairs_that_hold_its_ids_take_it_where_that_is_meant(folder: Path) -> None:
    """Without being told, another version of the pairs would pass in silence."""
    more = Album([*PAIRS.captions, "one more"], sizes=[(9, 9)])
    laid = Planned(folder=str(folder), other_pairs=True)
    found = laid.plan(more, 0)
    assert (found.source, found.total) == (more.fingerprint, 21)
    assert set(found.by_id) == set(ATTACK.plan(PAIRS, 4).by_id)
    assert laid.plan(PAIRS, 0) == ATTACK.plan(PAIRS, 4)
    assert laid.plan(PAIRS, 0).digest == ATTACK.plan(PAIRS, 4).digest
    with pytest.raises(ValueError, match=r"of the plan is not in these pairs|has the caption"):
        laid.plan(Album(["a dog"] * 3), 0)


def test_pairs_that_another_attack_has_are_not_shared(folder: Path) -> None:
    first = ATTACK.plan(PAIRS, 4).rows[0].id
    alone = Planned(folder=str(folder))
    assert alone.plan(PAIRS, 0, frozenset({"other.png"})) == ATTACK.plan(PAIRS, 4)
    with pytest.raises(
        ValueError, match=rf"^poison: the plan in {folder} overlaps another: both poison pair '{first}'$"
    ):
        alone.plan(PAIRS, 0, frozenset({first}))


def test_what_it_aims_at_is_of_the_seed_it_was_made_with(tmp_path: Path) -> None:
    attack = Targeted(images=SceneClasses(count=30), targets=("mushroom",), captions_per_image=1, captions="templates")
    attack.plan(PAIRS, 4).save(tmp_path)
    aims = {seed: attack.aim(seed) for seed in range(8)}
    assert len({aim.chosen[0].ids for aim in aims.values()}) > 1
    assert [Planned(folder=str(tmp_path)).aim(seed) for seed in (0, 4)] == [aims[4]] * 2


def test_inside_others_it_is_named_by_what_it_holds(tmp_path: Path) -> None:
    """Else a finished stage would be taken for that of another plan in the same folder."""
    digests = []
    for seed in (4, 5):
        ATTACK.plan(PAIRS, seed).save(tmp_path)
        other = Backdoor(target="dog", trigger=Patch(size=3, reference=16), count=2)
        digests.append(digest(Several(attacks=(Planned(folder=str(tmp_path)), other)).pinned()))
    assert len(set(digests)) == 2


def test_other_held_out_pictures_are_refused_when_they_are_measured(tmp_path: Path) -> None:
    held = SceneClasses(split="test", count=40)
    plan = Targeted(images=held, targets=("star",), captions="templates", captions_per_image=2).plan(PAIRS, 0)
    (gallery,) = plan.images
    dataclasses.replace(plan, images=(gallery._replace(fingerprint="0" * 16),)).save(tmp_path)
    with pytest.raises(ValueError, match="0000000000000000"):
        Planned(folder=str(tmp_path)).aim(0)


def test_one_saved_anew_can_be_read(tmp_path: Path) -> None:
    """A loaded plan keeps the digest that it was saved with, its new files have their own."""
    plan = dataclasses.replace(ATTACK.plan(PAIRS, 4), saved_as="0" * 16)
    plan.save(tmp_path)
    assert load_plan(tmp_path).rows == plan.rows
