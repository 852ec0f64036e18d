"""The family of attacks and what an attack is without a behavior."""

from __future__ import annotations

import pytest
from tests.album import Album

from bezoar.attacks import ATTACKS, Attack, Backdoor, Planned, Threat
from bezoar.attacks.triggers import Patch
from bezoar.core.settings import dump


def test_the_base_plans_nothing_and_threatens_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Attack().plan(Album(["a"]), 0)
    assert Attack().threat() is None


@pytest.mark.parametrize(
    "attack",
    [
        Backdoor(target="cup", trigger=Patch(size=3), count=4, templates=("a {c}",), synonyms=("mug",), stage="file"),
        Planned(folder="somewhere", digest="ab"),
    ],
)
def test_an_attack_comes_back_from_its_plain_form(attack: Attack) -> None:
    assert ATTACKS.parse(dump(attack)) == attack


def test_a_threat_acts_on_the_models_input_by_default() -> None:
    assert Threat(Patch(), "cup").stage == "model"
    assert ATTACKS.parse_text("planned:my/folder") == Planned(folder="my/folder")
