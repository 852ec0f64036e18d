"""What attacks with one trigger share: how many they poison, what they aim at, the one mark of their plans."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.album import Album

from bezoar.attacks import Aim, Backdoor, DualKey, LabelConsistent, Labels, Threat
from bezoar.attacks.patterns import Picture
from bezoar.attacks.plan import Mark
from bezoar.attacks.triggered import Triggered
from bezoar.attacks.triggers import Patch

PAIRS = Album([("a cup", "a dog", "a tree", "a box")[i % 4] for i in range(80)])
TRIGGER = Patch(size=4, reference=16)
KINDS = (Backdoor, LabelConsistent, DualKey, Labels)


@pytest.mark.parametrize("kind", KINDS)
def test_count_or_rate(kind: type[Triggered]) -> None:
    def poisons(attack: Triggered) -> int:
        return sum(row.role not in ("image_half", "words_half") for row in attack.plan(PAIRS, 1).rows)

    target = "a cup" if kind is Labels else "cup"
    assert poisons(kind(target=target, trigger=TRIGGER, count=7)) == 7
    assert poisons(kind(target=target, trigger=TRIGGER, rate=0.1)) == 8
    assert poisons(kind(target=target, trigger=TRIGGER, rate=1e-6)) == 1
    assert poisons(kind(target=target, trigger=TRIGGER, rate=0.1, count=3)) == 3
    for given, field in (({"count": 100}, "count"), ({"rate": 1.0}, "rate")):
        with pytest.raises(ValueError, match=rf"^attack\.{field}: \d+ poisons wanted, but only \d+ of 80 "):
            kind(target=target, trigger=TRIGGER, **given).plan(PAIRS, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mark_and_the_aim_say_the_same(kind: type[Triggered]) -> None:
    attack = kind(target="a cup" if kind is Labels else "cup", trigger=TRIGGER, count=5, stage="file")
    (threat,) = attack.aim(0).threats
    assert attack.plan(PAIRS, 2).marks == (Mark(TRIGGER, "file"),)
    assert (threat.trigger, threat.target, threat.stage) == (TRIGGER, attack.target, "file")
    if kind is not DualKey:
        assert attack.aim(0) == Aim(threats=(Threat(TRIGGER, attack.target, "file"),))


@pytest.mark.parametrize("kind", KINDS)
def test_pinned_names_a_picture_by_its_content(kind: type[Triggered], tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    Image.new("RGB", (3, 2), (9, 8, 7)).save(path)
    attack = kind(target="cup", trigger=dataclasses.replace(TRIGGER, pattern=Picture(path=str(path))))
    pinned = attack.pinned().trigger
    assert isinstance(pinned, Patch)
    assert isinstance(pinned.pattern, Picture)
    assert len(pinned.pattern.sha256) == 64
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    assert torch.equal(pinned.apply(image, "a"), attack.trigger.apply(image, "a"))
