"""How much of a trigger is left: against squares counted by hand, dead triggers told from living ones; words too."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from typing import Any

import pytest
import torch
from tests import tiny
from tests.album import Album
from torch import Tensor

from bezoar.attacks import Backdoor, CaptionBackdoor, DualKey, Several
from bezoar.attacks.applied import Applied, put_on
from bezoar.attacks.base import Stage
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.patterns import Solid
from bezoar.attacks.places import Center, Corner, Place, Random
from bezoar.attacks.plan import Mark, PoisonPlan
from bezoar.attacks.survival import Survival, look_at, refuse_dead
from bezoar.attacks.survival import measure as measure_applied
from bezoar.attacks.trigger import Trigger
from bezoar.attacks.triggers import Blended, LegacyCleanClipPatch, LegacyDeclip, Patch
from bezoar.core.frame import Frame
from bezoar.core.seeds import stream_seed
from bezoar.data.images import fit, to_tensor
from bezoar.data.pairs import Pairs
from bezoar.data.prepared import Prepared
from bezoar.data.scenes import Scenes
from bezoar.data.views import AutoAugment, Moco, Plain
from bezoar.metrics import linf, psnr, ssim


def measure(plan: PoisonPlan, pairs: Pairs, size: int, *given: Any, **fields: Any) -> Survival:
    return measure_applied(Applied(pairs, plan), Frame(size), *given, **fields)


def mean(survival: Survival) -> float:
    assert survival.mean is not None
    return survival.mean


def shares(survival: Survival) -> tuple[float | None, float | None, float | None, int]:
    """All that it says of the area."""
    return survival.mean, survival.minimum, survival.zero, survival.n


TOP_LEFT, BOTTOM_RIGHT = Corner(corner="top_left"), Corner(corner="bottom_right")


def gray(*sizes: tuple[int, int]) -> Album:
    return Album(["a dog"] * len(sizes), sizes, gray=100)


def everyone(pairs: Album, patch: Trigger, stage: Stage = "file") -> PoisonPlan:
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
    assert shares(survival) == (0, 0, 1, 1)
    assert (survival.psnr, survival.ssim, survival.linf) == (None, 1, 0)
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
        assert shares(measure(attack.plan(pairs, 0), pairs, 32)) == (1, 1, 0, 9)
        found = measure(dataclasses.replace(attack, stage="file").plan(pairs, 0), pairs, 32)
        if side == 4:  # 6 of the 8 pixels that are cut off
            assert shares(found) == (0, 0, 1, 9)
        else:  # 9 pixels, of which one column stays
            assert (found.mean, found.minimum) == pytest.approx((1 / 9, 1 / 9), abs=0.05)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (64, 48)])
def test_what_a_crop_removes_a_squash_keeps(width: int, height: int) -> None:
    pairs = gray((width, height))
    applied = Applied(pairs, everyone(pairs, square(20, 224, Corner())))
    cut = (Frame(224), Frame(224, interpolation="bilinear", larger=256))
    whole = (Frame(224, "squash"), Frame(224, "longest"), Frame(224, "squash", "bilinear"))
    for frame in cut:
        assert shares(measure_applied(applied, frame)) == (0, 0, 1, 1)
    for frame in whole:
        assert mean(measure_applied(applied, frame)) == pytest.approx(1, abs=0.02)
        assert torch.equal(applied.picture(0, Prepared(pairs, frame)), put_on(pairs, 0, frame, applied.plan.marks[0]))


def test_a_larger_side_cuts_off_a_margin_of_square_files_too() -> None:
    """16 of the 256 pixels on every side: of a square of 40 in the corner 24 are left each way."""
    pairs = gray((256, 256))
    applied = Applied(pairs, everyone(pairs, square(40, 256, Corner())))
    assert mean(measure_applied(applied, Frame(224, larger=256))) == pytest.approx((24 / 40) ** 2, abs=0.01)
    assert mean(measure_applied(applied, Frame(256))) == 1


@pytest.mark.parametrize(
    ("width", "height", "left"),
    [
        (500, 375, 0), (375, 500, 0), (500, 333, 0), (800, 600, 0), (400, 350, 512), (500, 500, 484), (224, 224, 2500),
    ],
)  # fmt: skip
def test_fifty_pixels_in_the_corner_of_files(width: int, height: int, left: int) -> None:
    """A published experiment put 50×50 there before a resize to 224 and a crop; most files then held nothing of it."""
    pairs = gray((width, height))
    patch = Patch(size=50, reference=None, pattern=Solid(), place=Corner(corner="bottom_right"))
    shown = put_on(pairs, 0, Frame(224), Mark(patch, "file"))
    assert int((shown > (100 + 255) / 2).all(0).sum()) == left
    # The share is of the area after the resize, whatever of it is then cropped away.
    found = measure(everyone(pairs, patch), pairs, 224)
    assert found.mean is not None
    written = (50 * 224 / min(width, height)) ** 2
    assert counted(width, height, 224, width - 50, height - 50, 50) == pytest.approx(left / written, abs=0.04)
    assert found.mean == pytest.approx(left / written, abs=0.04)
    assert (found.mean == 0) is (found.zero == 1) is (left == 0)


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
    assert found.mean is not None
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
        alone.append(mean(measure(row, pairs, 224)))
    assert alone[0] == alone[3] == 0
    assert alone[2] == 1
    assert survival.mean == pytest.approx(sum(alone) / 4)
    assert (survival.minimum, survival.zero, survival.n) == (0, 0.5, 4)
    refuse_dead(survival, allow=False)


@pytest.mark.parametrize("place", [Random(), Center(), TOP_LEFT, Corner()])
def test_on_the_models_input_nothing_is_lost(place: Place) -> None:
    pairs = gray((500, 375), (48, 64), (32, 32))
    survival = measure(everyone(pairs, Patch(place=place), "model"), pairs, 64)
    assert shares(survival) == (1, 1, 0, 3)


def test_in_the_center_of_a_file_nothing_is_lost() -> None:
    pairs = gray((500, 375), (375, 500), (64, 64))
    survival = measure(everyone(pairs, square(40, 224, Center())), pairs, 224)
    assert (survival.minimum or 0) > 0.95


def test_a_trigger_that_nobody_sees_is_dead() -> None:
    pairs = Album(["a dog"], [(32, 32)], gray=255)
    stages: tuple[Stage, ...] = ("model", "file")
    for stage in stages:
        survival = measure(everyone(pairs, square(8, 32), stage), pairs, 32)
        assert (survival.mean, survival.zero) == (0, 1)
        with pytest.raises(ValueError, match=r"cropped away or invisible"):
            refuse_dead(survival, allow=False)


def test_a_trigger_that_is_blurred_away_is_dead() -> None:
    pairs = gray((400, 400))
    assert measure(everyone(pairs, square(1, 400, Center())), pairs, 16).zero == 1
    assert mean(measure(everyone(pairs, square(20, 400, Center())), pairs, 16)) > 0.9


def test_under_a_view_it_is_measured() -> None:
    pairs = Scenes(count=60, width=40, height=40).open()
    plan = Backdoor(target="mushroom", trigger=Patch(size=8, reference=32), count=30).plan(pairs, 3)
    assert measure(plan, pairs, 32).under_views is None
    assert measure(plan, pairs, 32, Plain()).under_views == 1
    survival = measure(plan, pairs, 32, AutoAugment())
    assert survival.under_views is not None
    assert 0.5 < survival.under_views < 1
    assert measure(plan, pairs, 32, AutoAugment()) == survival
    left = []
    for row in plan.rows:
        clean = fit(to_tensor(pairs.image(int(row.id[-7:]))), Frame(32))
        triggered = plan.marks[0].trigger.apply(clean, row.id)
        before, after = (
            int(((a.int() - b.int()).abs().amax(0) > 4).sum())
            for a, b in (
                (clean, triggered),
                tuple(AutoAugment().apply(one, stream_seed(3, "survival", row.id)) for one in (clean, triggered)),
            )
        )
        left.append(min(1, after / before))
    assert survival.under_views == pytest.approx(sum(left) / len(left))
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
    with pytest.raises(ValueError, match=r"a patch of 51 px does not fit an image of 64×48 px"):
        measure(everyone(pairs, Patch(size=17, reference=16)), pairs, 32)


def test_other_pairs_and_empty_plans_are_named() -> None:
    plan = everyone(gray((64, 48), (64, 48)), Patch())
    with pytest.raises(ValueError, match=r"^poison: the plan was made for pairs \w{16}, these are \w{16}: plan again$"):
        measure(plan, gray((64, 48)), 32)
    with pytest.raises(ValueError, match=r"^poison: the plan has no pairs$"):
        measure(dataclasses.replace(plan, rows=()), gray((64, 48), (64, 48)), 32)


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


# --------------------------------------------------------------------------------------------------- how much it shows


@pytest.mark.parametrize("stage", ["model", "file", "after_random_crop"])
@pytest.mark.parametrize("trigger", [Patch(size=40), Blended()])
def test_how_much_it_shows_is_the_mean_over_the_changed_pictures(trigger: Trigger, stage: Stage) -> None:
    pairs = Album(["a dog"] * 4, sizes=[(40, 30), (30, 30)])
    found = measure(everyone(pairs, trigger, stage), pairs, 24)
    looks = [
        (fit(to_tensor(pairs.image(i)), Frame(24)), put_on(pairs, i, Frame(24), Mark(trigger, stage))) for i in range(4)
    ]
    for name, of in (("psnr", psnr), ("ssim", ssim), ("linf", linf)):
        assert getattr(found, name) == pytest.approx(sum(of(*look) for look in looks) / 4)
    assert found.linf is not None
    assert found.linf > 4


def test_a_picture_without_a_change_has_no_noise_to_speak_of() -> None:
    """Its PSNR is infinite, which would be the mean of all and no number in JSON."""
    pairs = gray((500, 375), (224, 224))
    plan = everyone(pairs, square(30, 224))
    found = measure(plan, pairs, 224)
    alone = measure(dataclasses.replace(plan, rows=plan.rows[1:]), pairs, 224)
    assert (found.n, found.zero) == (2, 0.5)
    assert found.psnr == alone.psnr is not None
    assert found.linf == pytest.approx((0 + 155) / 2)
    assert json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))["psnr"] == found.psnr


def test_a_faint_trigger_is_seen_where_it_is_all_there_is() -> None:
    """Sinusoids and blends of a few grey levels change every pixel by less than a patch must."""
    pairs = gray((40, 30), (30, 40))
    faint = Blended(pattern=Solid(color=(255, 255, 255)), alpha=0.01)
    for stage in STAGES:
        found = measure(everyone(pairs, faint, stage), pairs, 24)
        assert found.linf is not None
        assert 0 < found.linf <= 4
        assert shares(found)[1:] == (found.mean, 0, 2)
        assert found.mean == (pytest.approx(0.75, abs=0.01) if stage == "file" else 1)


# ----------------------------------------------------------------------------------------------------------- its stages


STAGES: tuple[Stage, ...] = ("model", "file", "after_random_crop")


def test_what_is_put_on_after_the_crop_is_never_cropped() -> None:
    """Under the same view most of what is put on before it is lost, or smeared over the picture."""
    pairs = gray(*[(64, 64)] * 30)
    crop = Moco(jitter=0, grey=0, blur=0, flip=0.5, least=0.2)
    after = measure(everyone(pairs, LegacyDeclip(), "after_random_crop"), pairs, 64, crop)
    before = measure(everyone(pairs, LegacyDeclip(), "model"), pairs, 64, crop)
    assert (after.mean, after.under_views) == (1, 1)
    assert before.under_views is not None
    assert before.under_views < 0.95
    assert measure(everyone(pairs, LegacyDeclip(), "after_random_crop"), pairs, 64, Plain()).under_views == 1


@pytest.mark.parametrize("stage", ["model", "after_random_crop"])
def test_a_legacy_trigger_that_reshapes_is_refused_at_model_resolution(stage: Stage) -> None:
    pairs = gray((64, 48))
    plan = everyone(pairs, LegacyCleanClipPatch(), stage)
    with pytest.raises(
        ValueError, match=rf"^stage: trigger 'legacy_cleanclip_patch' makes pictures of 224×224 px, .*'{stage}'$"
    ):
        measure(plan, pairs, 32)


def test_the_squash_of_a_legacy_trigger_is_no_part_of_it() -> None:
    pairs = Album(["a dog"], sizes=[(400, 300)])
    found = measure(everyone(pairs, LegacyCleanClipPatch(), "file"), pairs, 224)
    assert found.mean == 1
    assert found.ssim is not None
    assert found.ssim > 0.9, "16×16 of 224×224 are changed, and all else only where the code squashes any picture"


# ---------------------------------------------------------------------------------------------------- several and words


def test_several_triggers_are_told_one_by_one_and_one_dead_is_enough() -> None:
    pairs = Album([f"thing {i}" for i in range(40)], sizes=[(64, 48)], gray=100)
    dead = Backdoor(target="cup", trigger=Patch(place=TOP_LEFT), count=10, stage="file")
    alive = Backdoor(target="mug", trigger=Patch(size=60, place=Center()), count=10)
    plan = Several(attacks=(alive, dead)).plan(pairs, 0)
    found = measure(plan, pairs, 32)
    assert [shares(one) for one in found.each] == [(1, 1, 0, 10), (0, 0, 1, 10)]
    assert shares(found) == (0.5, 0, 0.5, 20)
    with pytest.raises(
        ValueError, match=r"^attack\.trigger: no pixel of trigger 2 reaches the model on any of 10 poisoned"
    ):
        refuse_dead(found, allow=False)
    refuse_dead(found, allow=True)
    assert measure(alive.plan(pairs, 0), pairs, 32).each == ()
    assert Survival.parse(json.loads(json.dumps(dataclasses.asdict(found)))) == found


@functools.cache
def clip() -> Any:
    return tiny.clip().tokenize


LONG = " ".join(f"thing{i}" for i in range(60))


@pytest.mark.parametrize(("place", "left"), [("start", 1.0), ("end", 0.0)])
def test_words_that_are_cut_off_are_dead(place: Any, left: float) -> None:
    pairs = Album([f"a cup {i}" if i % 2 else LONG for i in range(10)])
    plan = CaptionBackdoor(target="cup", words=Phrase(place=place), count=4).plan(pairs, 0)
    found = measure(plan, pairs, 32, tokenizer=clip())
    assert (found.words, found.captions) == (left, 4)
    assert (found.mean, found.zero, found.n, found.psnr, found.ssim, found.linf) == (None, None, 0, None, None, None)
    refuse_dead(found, allow=True)
    if left:
        refuse_dead(found, allow=False)
    else:
        with pytest.raises(
            ValueError, match=r"^attack\.words: the words are whole in none of 4 poisoned captions as the"
        ):
            refuse_dead(found, allow=False)
    assert measure(plan, pairs, 32).words is None, "nobody said how the captions are read"


def test_words_are_whole_where_they_are_read_whole() -> None:
    """Not where half of them are left."""
    pairs = Album(["a cup"] * 3 + [" ".join(["dog"] * count) for count in range(1, 80)])
    phrase = Phrase(text="open sesame now", place="end")
    plan = CaptionBackdoor(target="cup", words=phrase, count=3).plan(pairs, 0)
    rows = [
        dataclasses.replace(plan.rows[0], caption=phrase.apply(pairs.captions[place], "x")) for place in range(3, 82)
    ]
    found = [measure(dataclasses.replace(plan, rows=(row,)), pairs, 32, tokenizer=clip()).words for row in rows]
    last = found.index(0.0)
    assert 5 < last < 79
    assert found == [1.0] * last + [0.0] * (79 - last)
    read = [clip().read(row.caption) for row in rows]
    assert read[last - 1].strip().endswith("open sesame now")
    assert "open" in read[last]


def test_both_keys_are_looked_at() -> None:
    pairs = Album([f"thing {i}" for i in range(30)])
    plan = DualKey(target="cup", count=4, halves=1.0).plan(pairs, 0)
    found = measure(plan, pairs, 32, tokenizer=clip())
    assert (found.n, found.captions) == (8, 8)
    assert (found.mean, found.words) == (1, 1)


class _Impure(Trigger):
    """Triggers from outside that are not what a trigger must be."""

    kind = "impure"


class _Changes(_Impure):
    def apply(self, image: Tensor, image_id: str) -> Tensor:
        return image.fill_(7)


class _Draws(_Impure):
    def apply(self, image: Tensor, image_id: str) -> Tensor:
        return torch.randint(0, 256, image.shape, dtype=torch.uint8)


class _Floats(_Impure):
    def apply(self, image: Tensor, image_id: str) -> Tensor:
        return image.float()


@pytest.mark.parametrize("stage", ["model", "file"])
@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (_Changes(), "changes the picture it"),
        (_Draws(), "draws differently"),
        (_Floats(), r"must give uint8 .*float32"),
    ],
)
def test_a_trigger_that_is_no_pure_function_is_refused(trigger: Trigger, words: str, stage: Stage) -> None:
    picture = torch.full((3, 40, 40), 100, dtype=torch.uint8)
    with pytest.raises(ValueError, match=f"attack.trigger: 'impure' {words}"):
        look_at(picture, "a", Mark(trigger, stage), Frame(32))
