"""A pool: one of several triggers on each image, always the same one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from bezoar.attacks.patterns import FreshNoise, Picture, Solid
from bezoar.attacks.patterns.picture import remember
from bezoar.attacks.triggers import TRIGGERS, Blended, LegacyCleanClipYellow, Patch, Pool, Sinusoidal, Warp
from bezoar.core.seeds import python_random
from bezoar.core.settings import dump, validate

THREE = (Patch(), Sinusoidal(), Blended(pattern=Solid()))


def test_each_id_gets_what_it_drew() -> None:
    image = torch.full((3, 30, 40), 90, dtype=torch.uint8)
    for number in range(12):
        drawn = THREE[python_random(7, "trigger pool", str(number)).randrange(3)]
        assert torch.equal(Pool(triggers=THREE, seed=7).apply(image, str(number)), drawn.apply(image, str(number)))


def test_all_are_drawn_about_equally_and_seeds_draw_others() -> None:
    gray = tuple(Patch(size=1, reference=1, pattern=Solid(color=(level, 0, 0))) for level in range(3))
    image = torch.zeros(3, 1, 1, dtype=torch.uint8)
    found = [int(Pool(triggers=gray).apply(image, str(number))[0]) for number in range(600)]
    assert min(Counter(found).values()) > 150
    assert len(Counter(found)) == 3
    other = [int(Pool(triggers=gray, seed=1).apply(image, str(number))[0]) for number in range(600)]
    assert 130 < sum(a == b for a, b in zip(found, other, strict=True)) < 270


def test_patterns_are_stored_under_the_number_of_their_trigger() -> None:
    logo = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    pictured = Patch(pattern=Picture(path="gone.png", sha256=remember(logo)))
    pool = Pool(triggers=(Patch(pattern=FreshNoise()), Warp(), pictured, Pool(triggers=(Sinusoidal(), Blended()))))
    assert set(pool.tensors()) == {"1.warp", "2.patch", "2.picture", "3.1.blend"}
    assert torch.equal(pool.tensors()["2.picture"], logo)


def test_what_its_triggers_read_is_pinned(tmp_path: Any) -> None:
    from PIL import Image

    Image.new("RGB", (3, 2), (9, 8, 7)).save(tmp_path / "logo.png")
    pool = Pool(triggers=(Patch(), Blended(pattern=Picture(path=str(tmp_path / "logo.png"))))).pinned()
    assert pool.triggers[0] == Patch()
    assert dump(pool)["triggers"][1]["pattern"]["sha256"]
    assert pool.pinned() == pool


def test_it_comes_from_plain_values() -> None:
    plain = {"kind": "pool", "triggers": ["patch:solid", {"kind": "warp", "k": 5}]}
    pool = TRIGGERS.parse(plain)
    assert pool == Pool(triggers=(Patch(pattern=Solid()), Warp(k=5)))
    assert TRIGGERS.parse(dump(pool)) == pool


def test_legacy_triggers_keep_to_themselves() -> None:
    image = torch.zeros(3, 30, 50, dtype=torch.uint8)
    pool = Pool(triggers=(LegacyCleanClipYellow(), LegacyCleanClipYellow(size=9)))
    assert pool.canvas(image).shape == pool.apply(image, "a").shape == (3, 224, 224)
    assert Pool(triggers=THREE).canvas(image) is image
    with pytest.raises(
        ValueError, match=r"triggers: takes no legacy trigger that reshapes the picture beside one that"
    ):
        validate(Pool, {"triggers": ["legacy_cleanclip_yellow", "patch"]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"trigger\.triggers: "),
        ({"triggers": []}, r"trigger\.triggers: .*at least 2 items"),
        ({"triggers": ["patch"]}, r"trigger\.triggers: .*at least 2 items"),
        ({"triggers": ["patch", "pach"]}, r"trigger\.triggers\.1: kind: 'pach' is not a trigger"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Pool, fields, "trigger")
