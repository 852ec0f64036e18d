"""Colors by name and by bytes."""

from __future__ import annotations

from typing import Any

import pytest

from bezoar.attacks.color import COLORS
from bezoar.attacks.patterns import PATTERNS, Solid
from bezoar.core.settings import dump, validate


@pytest.mark.parametrize("name", COLORS)
def test_a_name_stands_for_three_bytes(name: str) -> None:
    named = validate(Solid, {"color": name})
    assert named.color == COLORS[name]
    assert named == Solid(color=COLORS[name]) == PATTERNS.parse(f"solid:{name}")
    assert dump(named)["color"] == list(COLORS[name])


@pytest.mark.parametrize(
    ("color", "message"),
    [
        ("pink", r"color: 'pink' is none of white, black, red, green, blue, yellow, nor three bytes"),
        ([255, 255], "color"),
        ([255, 255, 256], r"color\.2: .*less than or equal to 255, got 256"),
        ([255, -1, 0], r"color\.1: .*greater than or equal to 0, got -1"),
        ([1.5, 0, 0], r"color\.0"),
        (7, "color"),
    ],
)
def test_other_colors_are_refused(color: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"pattern.{message}"):
        validate(Solid, {"color": color}, "pattern")
