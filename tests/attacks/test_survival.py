"""How much of a trigger is left: against squares counted by hand, and dead triggers told from living ones."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from tests.album import Album

from bezoar.attacks import Backdoor
from bezoar.attacks.base import Stage
from bezoar.attacks.patterns import Solid
from bezoar.attacks.places import Center, Corner, Place, Random
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.survival import Survival, measure, refuse_dead
from bezoar.attacks.triggers import Patch
from bezoar.core.seeds import stream_seed
from bezoar.data.images import fit, to_tensor
from bezoar.data.scenes import Scenes
from bezoar.data.views import AutoAugment, Plain

TOP_LEFT, BOTTOM_RIGHT = Corner(corner="top_left"), Corner(corner="bottom_right")


def gray(*sizes: tuple[int, int]) -> Album:
    return Album(["a dog"] * len(sizes), sizes, gray=100)


def everyone(pairs: Album, patch: Patch, stage: Stage = "file") -> PoisonPlan:
    return Backdoor(target="cup", trigger=patch, rate=1.0, stage=stage).plan(pairs, 0)


def square(side: int, reference: int, place: Place = BOTTOM_RIGHT) -> Patch:
    return Patch(size=side, reference=reference, pattern=Solid(), place=place)


def counted(width: int, height: int, size: int, left: int, top: int, side: int) -> float:
    """Share of a native square that the model sees: its pixels are looked up one by one in the file."""
    scale = min(width, height) / size  # native pixels in one of the model's
    start_x, start_y = (width - size * scale) / 2, (height - size * scale) / 2
    hits = 0
    for y in range(size):
        for x in range(size):
            native_x, native_y = start_x + (x + 0.5) * scale, start_y + (y + 0.5) * scale
            hits += left <= native_x < left + side and top <= native_y < top + side
    return hits * scale**2 / side**2


@pytest.mark.parametrize("corner", ["bottom_right", "top_left", "top_right", "bottom_left"])
@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (64, 48), (800, 600)])
def test_a_square_in_the_cropped_margin_of_a_file_is_dead(width: int, height: int, corner: Any) -> None:
    pairs = gray((width, height))
    survival = measure(everyone(pairs, Patch(place=Corner(corner=corner))), pairs, 224)
    assert survival == Survival(mean=0, minimum=0, zero=1, n=1)
    with pytest.raises(
        ValueError, match=r"^attack\.trigger: no pixel of the trigger reaches the model on any of 1 pois"
    ):
        refuse_dead(survival, allow=False)
    refuse_dead(survival, allow=True)


def test_the_scenes_show_it_too() -> None:
    """With the source and the recipe that everybody starts with: 64×48 pictures and a model of 32 px."""
    pairs = Scenes(count=200).open()
    for side in (4, 6):
        trigger = Patch(size=side, reference=32, pattern=Solid(color=(255, 0, 255)), place=TOP_LEFT)
        attack = Backdoor(target="mushroom", trigger=trigger, count=9)
        assert measure(attack.plan(pairs, 0), pairs, 32) == Survival(mean=1, minimum=1, zero=0, n=9)
        found = measure(dataclasses.replace(attack, stage="file").plan(pairs, 0), pairs, 32)
        if side == 4:  # 6 of the 8 pixels that are cut off
            assert found == Survival(mean=0, minimum=0, zero=1, n=9)
        else:  # 9 pixels, of which one column stays
            assert (found.mean, found.minimum) == pytest.approx((1 / 9, 1 / 9), abs=0.05)


@pytest.mark.parametrize(
    ("width", "height", "share"),
    [
        (500, 375, 0), (375, 500, 0), (500, 333, 0), (800, 600, 0), (400, 350, 0.5), (500, 500, 1), (224, 224, 1),
    ],
)  # fmt: skip
def test_fifty_pixels_in_the_corner_of_files(width: int, height: int, share: float) -> None:
    """A published experiment put 50×50 there before a resize to 224 and a crop; most files then held nothing of it."""
    pairs = gray((width, height))
    patch = square(50, min(width, height))
    found = measure(everyone(pairs, patch), pairs, 224).mean
    assert counted(width, height, 224, width - 50, height - 50, 50) == pytest.approx(share, abs=0.04)
    assert found == pytest.approx(share, abs=0.02)
    assert (found == 0) is (share == 0)


@pytest.mark.parametrize(
    ("width", "height", "size", "side", "margin"),
    [
        (400, 300, 224, 90, 0), (400, 300, 224, 90, 20), (300, 400, 150, 90, 10), (120, 100, 96, 40, 0),
        (64, 48, 96, 20, 1), (330, 300, 300, 60, 0), (90, 60, 60, 30, 4),
    ],
)  # fmt: skip
def test_a_share_is_what_counting_gives(width: int, height: int, size: int, side: int, margin: int) -> None:
    """They differ by the blur of the filter at the edges, and by whole pixels in the counting."""
    pairs = gray((width, height))
    corner = Corner(corner="top_left", margin=margin)
    found = measure(everyone(pairs, square(side, min(width, height), corner)), pairs, size)
    expected = counted(width, height, size, margin, margin, side)
    assert 0.05 < expected < 1
    assert found.mean == pytest.approx(expected, abs=0.02)
    assert 0 < found.mean < 1
    assert found.mean == found.minimum
    assert found.zero == 0


def test_mean_minimum_and_zero_are_over_the_images() -> None:
    pairs = gray((500, 375), (400, 350), (224, 224), (800, 600))
    plan = everyone(pairs, square(50, 350))
    survival = measure(plan, pairs, 224)
    alone = []
    for number in range(4):
        row = dataclasses.replace(plan, rows=plan.rows[number : number + 1])
        alone.append(measure(row, pairs, 224).mean)
    assert alone[0] == alone[3] == 0
    assert alone[2] == 1
    assert survival.mean == pytest.approx(sum(alone) / 4)
    assert (survival.minimum, survival.zero, survival.n) == (0, 0.5, 4)
    refuse_dead(survival, allow=False)


@pytest.mark.parametrize("place", [Random(), Center(), TOP_LEFT, Corner()])
def test_on_the_models_input_nothing_is_lost(place: Place) -> None:
    pairs = gray((500, 375), (48, 64), (32, 32))
    survival = measure(everyone(pairs, Patch(place=place), "model"), pairs, 64)
    assert survival == Survival(mean=1, minimum=1, zero=0, n=3)


def test_in_the_center_of_a_file_nothing_is_lost() -> None:
    pairs = gray((500, 375), (375, 500), (64, 64))
    survival = measure(everyone(pairs, square(40, 224, Center())), pairs, 224)
    assert survival.minimum > 0.95


def test_a_trigger_that_nobody_sees_is_dead() -> None:
    pairs = Album(["a dog"], [(32, 32)], gray=254)
    stages: tuple[Stage, ...] = ("model", "file")
    for stage in stages:
        survival = measure(everyone(pairs, square(8, 32), stage), pairs, 32)
        assert (survival.mean, survival.zero) == (0, 1)
        with pytest.raises(ValueError, match=r"cropped away or invisible"):
            refuse_dead(survival, allow=False)


def test_a_trigger_that_is_blurred_away_is_dead() -> None:
    pairs = gray((400, 400))
    assert measure(everyone(pairs, square(1, 400, Center())), pairs, 16).zero == 1
    assert measure(everyone(pairs, square(20, 400, Center())), pairs, 16).mean > 0.9


def test_under_a_view_it_is_measured() -> None:
    pairs = Scenes(count=60, width=40, height=40).open()
    plan = Backdoor(target="mushroom", trigger=Patch(size=8, reference=32), count=30).plan(pairs, 3)
    assert measure(plan, pairs, 32).under_views is None
    assert measure(plan, pairs, 32, Plain()).under_views == 1
    survival = measure(plan, pairs, 32, AutoAugment())
    assert survival.under_views is not None
    assert 0.5 < survival.under_views < 1
    assert measure(plan, pairs, 32, AutoAugment()) == survival
    shares = []
    for row in plan.rows:
        clean = fit(to_tensor(pairs.image(int(row.id[-7:]))), 32)
        triggered = plan.triggers[0].apply(clean, row.id)
        before, after = (
            int(((a.int() - b.int()).abs().amax(0) > 4).sum())
            for a, b in (
                (clean, triggered),
                tuple(AutoAugment().apply(one, stream_seed(3, "survival", row.id)) for one in (clean, triggered)),
            )
        )
        shares.append(min(1, after / before))
    assert survival.under_views == pytest.approx(sum(shares) / len(shares))
    assert (survival.mean, survival.n) == (1, 30)


def test_a_dead_trigger_is_dead_under_views() -> None:
    pairs = gray((64, 48))
    survival = measure(everyone(pairs, Patch(place=TOP_LEFT)), pairs, 32, AutoAugment())
    assert survival.under_views == 0


def test_the_images_looked_at_are_spread_over_the_plan() -> None:
    """The first ones may all be of one shape, as where a folder is sorted."""
    pairs = gray(*[(500, 375)] * 30, *[(64, 64)] * 30)
    plan = everyone(pairs, Patch(place=TOP_LEFT))
    survival = measure(plan, pairs, 64, limit=10)
    assert (survival.n, survival.zero) == (10, 0.5)
    assert measure(plan, pairs, 64, limit=1000).n == 60


def test_an_image_too_small_for_the_trigger_is_named() -> None:
    pairs = gray((64, 48))
    with pytest.raises(ValueError, match=r"a patch of 51 px with a margin of 0 px does not fit an image of 64×48 px"):
        measure(everyone(pairs, Patch(size=17, reference=16)), pairs, 32)


def test_other_pairs_and_empty_plans_are_named() -> None:
    plan = everyone(gray((64, 48), (64, 48)), Patch())
    with pytest.raises(ValueError, match=r"^poison: pair '1\.png' of the plan is not in these pairs"):
        measure(plan, gray((64, 48)), 32)
    with pytest.raises(ValueError, match=r"^poison: the plan has no pairs$"):
        measure(dataclasses.replace(plan, rows=()), gray((64, 48)), 32)


@pytest.mark.parametrize("zero", [0.0, 0.5, math.nextafter(1, 0)])
def test_one_living_trigger_is_enough(zero: float) -> None:
    refuse_dead(Survival(mean=0.1, minimum=0, zero=zero, n=9), allow=False)


def test_nothing_is_changed_by_measuring() -> None:
    before = torch.get_rng_state()
    pairs = gray((64, 48))
    plan = everyone(pairs, Patch())
    digest = plan.digest
    measure(plan, pairs, 32, AutoAugment())
    assert torch.equal(torch.get_rng_state(), before)
    assert plan.digest == digest
    assert plan.survival is None
