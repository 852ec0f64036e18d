"""Pictures as evaluators see them: in order, each decoded once for all looks, kept while they are few."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation.test_base import FILE, MODEL, THREAT, images
from torch import Tensor

from bezoar.attacks.applied import put_on
from bezoar.attacks.plan import Mark
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.evaluation import LabeledImages, Look, pictures
from bezoar.evaluation.pictures import UNTOUCHED


def only(found: LabeledImages, look: Look = UNTOUCHED) -> Tensor:
    return found.stack(range(len(found.labeled)), (look,))[0]


def test_pictures_are_those_of_the_span() -> None:
    found = images()
    whole = only(found)
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, torch.stack([found.prepared[index] for index in range(20)]))
    assert torch.equal(found.stack(range(7, 14), (UNTOUCHED,))[0], whole[7:14])


@pytest.mark.parametrize("frame", [Frame(32), Frame(32, "squash"), Frame(32, "longest", "bilinear", 36)])
@pytest.mark.parametrize("stage", ["model", "file", "after_random_crop"])
@pytest.mark.parametrize("beside", [(), (UNTOUCHED,), (UNTOUCHED, FILE), (MODEL, FILE)])
def test_triggered_pictures_are_made_as_in_training(stage: Any, beside: tuple[Look, ...], frame: Frame) -> None:
    found, look = images(6, frame), Look(Patch(size=9, reference=32), stage)
    *others, triggered = found.stack(range(6), (*beside, look))
    for index in range(6):
        for (trigger, where), rows in zip((*beside, look), (*others, triggered), strict=True):
            mark = None if trigger is None else Mark(trigger, where)
            expected = put_on(found.labeled, index, frame, mark) if mark else found.prepared[index]
            assert torch.equal(rows[index], expected)


def count_puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    puts: list[str] = []
    whole = Patch.apply

    def apply(self: Patch, image: Tensor, image_id: str) -> Tensor:
        puts.append(image_id)
        return whole(self, image, image_id)

    monkeypatch.setattr(Patch, "apply", apply)
    return puts


def test_triggered_pictures_are_kept_from_round_to_round(monkeypatch: pytest.MonkeyPatch) -> None:
    found, puts = images(6), count_puts(monkeypatch)
    first = only(found, Look.under(THREAT))
    assert torch.equal(first, only(found, Look.under(THREAT._replace(target="axe"))))
    assert len(puts) == 6
    other = only(found, Look(Patch(size=9, reference=32)))
    assert len(puts) == 12
    assert not torch.equal(first, other)
    assert torch.equal(found.stack(range(6), (UNTOUCHED, Look.under(THREAT)))[1], first)
    assert len(puts) == 12


def test_a_sweep_that_was_left_can_be_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found, puts = images(6), count_puts(monkeypatch)
    look = Look.under(THREAT)
    part = found.stack(range(4), (look,))[0]
    both = torch.cat([found.stack(span, (look,))[0] for span in (range(4), range(4, 6))])
    assert torch.equal(both[:4], part)
    assert torch.equal(both, only(images(6), look))
    assert len(puts) == 6 + 6


def test_pictures_of_a_large_set_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """50,000 pictures of 224 px would be 7.5 GB."""
    found, puts = images(6), count_puts(monkeypatch)
    kept = only(images(6), Look.under(THREAT))
    monkeypatch.setattr(pictures, "KEEP", 6 * 3 * 32 * 32 - 1)
    for _ in range(2):
        assert torch.equal(kept, only(found, Look.under(THREAT)))
    assert len(puts) == 18
