"""The family of triggers and what a trigger is without a behavior."""

from __future__ import annotations

import pytest
import torch

from bezoar.attacks.patterns import Solid
from bezoar.attacks.places import Corner
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers import TRIGGERS, Patch
from bezoar.core.settings import dump


def test_the_base_has_no_behavior_and_no_pattern() -> None:
    with pytest.raises(NotImplementedError):
        Trigger().apply(torch.zeros(3, 4, 4, dtype=torch.uint8), "a")
    assert Trigger().tensors() == {}
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert Trigger().canvas(image) is image
    assert Trigger().pinned() == Trigger()


@pytest.mark.parametrize(
    "trigger", [Patch(), Patch(size=3, place=Corner(corner="top_left"), pattern=Solid(color=(1, 2, 3)))]
)
def test_a_trigger_comes_back_from_its_plain_form(trigger: Trigger) -> None:
    assert TRIGGERS.parse(dump(trigger)) == trigger


def test_a_trigger_by_its_short_name() -> None:
    assert TRIGGERS.parse("patch") == Patch()
    assert TRIGGERS.parse_text("patch:solid") == Patch(pattern=Solid())
    with pytest.raises(ValueError, match="'pach' is not a trigger; did you mean 'patch'"):
        TRIGGERS.parse("pach")
