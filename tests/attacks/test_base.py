"""The family of attacks and what an attack is without a behavior."""

from __future__ import annotations

import pytest
from tests.album import Album

from bezoar.attacks import (
    ATTACKS,
    Aim,
    Attack,
    Backdoor,
    CaptionBackdoor,
    Chosen,
    DualKey,
    LabelConsistent,
    Labels,
    Planned,
    Several,
    Targeted,
    Threat,
)
from bezoar.attacks.patterns import Stripes
from bezoar.attacks.triggers import Patch, Pool, Sinusoidal
from bezoar.core.settings import dump
from bezoar.data import SceneClasses


def test_the_base_plans_nothing_and_aims_at_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Attack().plan(Album(["a"]), 0)
    assert Attack().aim(0) == Aim()
    assert Attack().pinned() == Attack()


def test_an_aim_at_nothing_is_none() -> None:
    assert not Aim()
    assert Aim(threats=(Threat(Patch(), "cup"),))
    assert Aim(chosen=(Chosen(SceneClasses(), ("a",), ("cup",)),))


@pytest.mark.parametrize(
    "attack",
    [
        Backdoor(target="cup", trigger=Patch(size=3), count=4, templates=("a {c}",), synonyms=("mug",), stage="file"),
        Backdoor(target="cup", trigger=Patch(pattern=Stripes()), mode="append", size=9, victim_classes=("dog",)),
        Backdoor(target="cup", trigger=Pool(triggers=(Patch(), Sinusoidal())), stage="after_random_crop"),
        LabelConsistent(target="cup"),
        Targeted(images=SceneClasses(count=4), targets=("cup",), synonyms={"cup": ("mug",)}),
        DualKey(target="cup"),
        CaptionBackdoor(target="cup"),
        Labels(target="cup"),
        Several(attacks=(Backdoor(target="cup"), DualKey(target="mug")), seeds=(1, 2)),
        Planned(folder="somewhere", digest="ab"),
    ],
    ids=lambda attack: attack.kind,
)
def test_an_attack_comes_back_from_its_plain_form(attack: Attack) -> None:
    assert ATTACKS.parse(dump(attack)) == attack


def test_a_threat_acts_on_the_models_input_by_default() -> None:
    assert Threat(Patch(), "cup").stage == "model"
    assert ATTACKS.parse_text("planned:my/folder") == Planned(folder="my/folder")
