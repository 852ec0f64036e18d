"""Everything that the package offers from its top is there, and is what it is called."""

import pytest

import bezoar as bz
from bezoar.attacks.families import ATTACKS, CAPTION_TRIGGERS, PATTERNS, PLACES, TRIGGERS


@pytest.mark.parametrize("name", sorted(set(bz.__all__) - {"__version__"}))
def test_what_is_offered_is_there(name: str) -> None:
    found = getattr(bz, name)
    assert found.__name__.rpartition(".")[2] == name


def test_nothing_else_is_offered() -> None:
    with pytest.raises(AttributeError, match="module 'bezoar' has no attribute 'Patches'"):
        _ = bz.Patches


def test_every_trigger_and_attack_is_offered_but_legacy_ones() -> None:
    for family in (TRIGGERS, CAPTION_TRIGGERS, ATTACKS):
        for member in family.members.values():
            assert member.kind.startswith("legacy_") or getattr(bz, member.__name__) is member


def test_every_pattern_and_place_is_in_its_module() -> None:
    for module, family in ((bz.patterns, PATTERNS), (bz.places, PLACES)):
        for member in family.members.values():
            assert getattr(module, member.__name__) is member


def test_values_from_the_top_fit_together() -> None:
    trigger = bz.Patch(pattern=bz.patterns.Checkerboard(cell=2), place=bz.places.Corner(corner="top_left"))
    attack = bz.Several(
        attacks=(bz.Backdoor(target="mushroom", trigger=trigger), bz.Backdoor(target="rocket", trigger=bz.Sinusoidal()))
    )
    assert [threat.target for threat in attack.aim(0).threats] == ["mushroom", "rocket"]
