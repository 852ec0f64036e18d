"""A plan from a folder: as it was, on the pairs it was made for, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.album import Album

from bezoar.attacks import Backdoor, Planned, Threat
from bezoar.attacks.triggers import Patch

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
    assert Planned(folder=str(folder)).threat() == ATTACK.threat() == Threat(ATTACK.trigger, "cup", "file")


def test_other_pairs_are_refused(folder: Path) -> None:
    other = Album([*PAIRS.captions[:-1], "another"])
    with pytest.raises(ValueError, match=f"was made for pairs {PAIRS.fingerprint}, these are {other.fingerprint}$"):
        Planned(folder=str(folder)).plan(other, 0)


def test_another_plan_is_refused(folder: Path) -> None:
    held = ATTACK.plan(PAIRS, 4).digest
    other = Planned(folder=str(folder), digest="0123456789abcdef")
    for act in (lambda: other.plan(PAIRS, 0), other.threat):
        with pytest.raises(ValueError, match=f"^poison: {folder} holds plan {held}, not 0123456789abcdef$"):
            act()


def test_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"poison\.json: cannot be read"):
        Planned(folder=str(tmp_path)).plan(PAIRS, 0)
