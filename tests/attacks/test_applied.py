"""Pairs as an attacker leaves them, against a second, dumb way to make them; and that their sizes add up."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections import Counter
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album
from torch import Tensor

from bezoar.attacks import Backdoor
from bezoar.attacks.applied import Applied, put_on
from bezoar.attacks.base import Stage
from bezoar.attacks.patterns import Noise, Solid
from bezoar.attacks.places import Center
from bezoar.attacks.plan import Gallery, Mark, PoisonPlan, PoisonRow
from bezoar.attacks.triggers import LegacyCleanClipYellow, Patch
from bezoar.core.frame import Frame
from bezoar.data import SceneClasses
from bezoar.data.images import fit, load, to_tensor
from bezoar.data.prepared import Prepared

STAGES: tuple[Stage, ...] = ("model", "file", "after_random_crop")
PAIRS = Album([f"caption {i}" for i in range(12)], sizes=[(20, 14), (14, 20), (16, 16)])
SCENES = SceneClasses(count=5)
MARKS = tuple(
    Mark(Patch(size=5, reference=16, pattern=Noise(seed=number)), stage) for number, stage in enumerate(STAGES)
)
SIZE = 10
FRAME = Frame(SIZE)
FRAMES = (FRAME, Frame(SIZE, "squash"), Frame(SIZE, "longest"), Frame(SIZE, "shortest", "bilinear", 12))


def made(*rows: PoisonRow, **fields: Any) -> PoisonPlan:
    given: dict[str, Any] = {
        "attack": Backdoor(target="cup"), "marks": MARKS, "images": (Gallery(SCENES, SCENES.open().fingerprint),),
        "seed": 0, "source": PAIRS.fingerprint, "total": len(PAIRS), "rows": rows, **fields,
    }  # fmt: skip
    return PoisonPlan(**given)


def row(index: int, mark: int | None = None, images: int | None = None, name: str | None = None) -> PoisonRow:
    """In the place of pair ``index``, or a new pair where it has a ``name``."""
    shown = PAIRS if images is None else SCENES.open()
    return PoisonRow(
        id=name or PAIRS.id(index), role="backdoor", target="cup", original="", caption=f"cup {name or index}",
        image=shown.id(index), index=index, mark=mark, images=images, appended=name is not None,
    )  # fmt: skip


class Pair(NamedTuple):
    """What is to be seen of a pair."""

    id: str
    caption: str
    picture: Tensor
    later: Tensor
    """Once the trigger is on that is put on after the crop."""


def by_hand(plan: PoisonPlan, frame: Frame = FRAME) -> list[Pair]:
    """All pairs, one row at a time, from the files on; clean ones that ``size`` leaves out are still there."""

    def clean(index: int) -> Pair:
        seen = load(PAIRS, index, frame)
        return Pair(PAIRS.id(index), PAIRS.caption(index), seen, seen)

    def poisoned(row: PoisonRow) -> Pair:
        native = to_tensor((PAIRS if row.images is None else SCENES.open()).image(row.index))
        seen = later = fit(native, frame)
        trigger, stage = plan.marks[row.mark] if row.mark is not None else (None, None)
        if trigger is not None and stage == "model":
            seen = later = trigger.apply(seen, row.image)
        elif trigger is not None and stage == "file":
            seen = later = fit(trigger.apply(native, row.image), frame)
        elif trigger is not None:
            later = trigger.apply(seen, row.image)
        return Pair(row.id, row.caption, seen, later)

    whole = {PAIRS.id(index): clean(index) for index in range(len(PAIRS))}
    whole |= {row.id: poisoned(row) for row in plan.rows}
    return list(whole.values())


def look(applied: Applied, index: int, frame: Frame = FRAME) -> Pair:
    picture, after = applied.picture(index, Prepared(PAIRS, frame)), applied.after_crop(index)
    later = after(picture) if after is not None else picture
    return Pair(applied.id(index), applied.caption(index), picture, later)


def same(one: Pair, other: Pair) -> bool:
    return one[:2] == other[:2] and all(map(torch.equal, one[2:], other[2:]))


MARKED = st.none() | st.integers(0, 2)


@st.composite
def plans(draw: st.DrawFn) -> PoisonPlan:
    """Any mix: rows in place and appended, of own pictures and others', marked at any stage or not at all."""
    replaced = draw(st.lists(st.tuples(st.integers(0, 11), MARKED), unique_by=lambda one: one[0], max_size=6))
    added = draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([None, 0]), MARKED), max_size=4))
    rows = [row(index, mark) for index, mark in replaced]
    rows += [row(index, mark, images, f"new-{k}") for k, (index, images, mark) in enumerate(added)]
    size = draw(st.none() | st.integers(max(1, len(rows)), 12 + len(added)))
    return made(*draw(st.permutations(rows)), size=size, seed=draw(st.integers(0, 9)))


@settings(deadline=None, max_examples=60)
@given(plans())
def test_every_pair_is_what_a_dumb_way_makes_of_it(plan: PoisonPlan) -> None:
    applied, expected = Applied(PAIRS, plan), by_hand(plan)
    poison = {row.id for row in plan.rows}
    found = [look(applied, index) for index in range(len(applied))]
    known = {pair.id: pair for pair in expected}
    assert len(found) == len(applied) == plan.length == (plan.size or 12 + len(plan.appended))
    assert all(same(pair, known[pair.id]) for pair in found)
    # In the order of all, each once, every poisoned one among them.
    places = [[pair.id for pair in expected].index(pair.id) for pair in found]
    assert places == sorted(set(places))
    assert poison <= {pair.id for pair in found}
    assert {applied.id(i) for i in range(len(applied)) if applied.row(i) is not None} == poison
    assert plan.share == (len(poison) / len(found) if found else 0)


def test_a_plan_without_rows_changes_nothing() -> None:
    applied = Applied(PAIRS, made())
    assert all(same(look(applied, index), pair) for index, pair in enumerate(by_hand(made())))
    assert len(applied) == 12


def test_each_row_gets_its_own_trigger() -> None:
    black, white = (Patch(size=4, reference=16, pattern=Solid(color=(c, c, c)), place=Center()) for c in (0, 255))
    plan = made(*(row(i, i % 2) for i in range(4)), marks=(Mark(black, "model"), Mark(white, "model")))
    for index in range(6):
        center = Applied(PAIRS, plan).picture(index, Prepared(PAIRS, Frame(16)))[:, 6:10, 6:10]
        assert (center == 255 * (index % 2)).all().item() is (index < 4)


def test_an_appended_pair_wears_the_trigger_as_its_picture_does() -> None:
    """By the id of the picture, not by its own: the same picture has the trigger in the same place everywhere."""
    plan = made(row(3, 0), row(3, 0, name="new"))
    applied, prepared = Applied(PAIRS, plan), Prepared(PAIRS, FRAME)
    assert torch.equal(applied.picture(3, prepared), applied.picture(12, prepared))
    assert (applied.id(3), applied.id(12)) == ("3.png", "new")


def test_which_clean_pairs_are_left_out_is_the_seeds_affair() -> None:
    plan = made(row(0, 0), row(1, name="new"), size=6)
    kept = [
        frozenset(Applied(PAIRS, dataclasses.replace(plan, seed=seed)).id(i) for i in range(6)) for seed in range(200)
    ]
    assert all({"0.png", "new"} <= one for one in kept)
    assert kept[3] == frozenset(Applied(PAIRS, dataclasses.replace(plan, seed=3)).id(i) for i in range(6))
    counts = Counter(name for one in kept for name in one - {"0.png", "new"})
    assert len(counts) == 11
    assert 45 < min(counts.values()) <= max(counts.values()) < 105  # 73 expected


def test_a_size_keeps_the_clean_pairs_of_a_smaller_one() -> None:
    """A sweep over the size is over sets that hold each other."""
    rows = (row(0, 0), row(5, 1))
    held = [{Applied(PAIRS, made(*rows, size=size)).id(i) for i in range(size)} for size in range(2, 12)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(held))


def test_other_pairs_are_refused() -> None:
    other = Album([*PAIRS.captions[:-1], "another"], sizes=PAIRS.sizes)
    with pytest.raises(
        ValueError,
        match=rf"^poison: the plan was made for pairs {PAIRS.fingerprint}, these are {other.fingerprint}: plan",
    ):
        Applied(other, made())


def test_a_gallery_that_has_changed_is_refused() -> None:
    plan = made(row(0, name="new", images=0), images=(Gallery(SCENES, "feed"),))
    with pytest.raises(ValueError, match=r"^poison: the plan shows pictures of a set feed, which is now [0-9a-f]{16}:"):
        Applied(PAIRS, plan).picture(12, Prepared(PAIRS, FRAME))
    assert Applied(PAIRS, plan).caption(12) == "cup new"


def test_a_trigger_put_on_while_training_is_in_no_file() -> None:
    plan = made(row(0, 0), marks=MARKS[2:])
    with pytest.raises(ValueError, match=r"^stage: a trigger that is put on after the random crop is never in a file"):
        Applied(PAIRS, plan).check_copy()


@pytest.mark.parametrize("stage", ["model", "file"])
def test_files_hold_what_training_sees(stage: Stage) -> None:
    """All at one size: another would tell who is poisoned."""
    plan = made(row(0, 0), row(1, 0, 0, "new"), row(2), row(3, 0, name="too"), marks=(MARKS[STAGES.index(stage)],))
    applied, prepared = Applied(PAIRS, plan), Prepared(PAIRS, FRAME)
    applied.check_copy()
    for index in range(14):
        stored = applied.stored(index, FRAME)
        assert (stored.shape == (3, SIZE, SIZE)) is (stage == "model")
        assert torch.equal(fit(stored, FRAME), applied.picture(index, prepared))


def test_a_clean_caption_that_is_none_is_named() -> None:
    pairs = Album(["a dog", "  "])
    plan = made(source=pairs.fingerprint, total=2)
    with pytest.raises(ValueError, match=r"caption of pair '1\.png' must be a non-empty string"):
        Applied(pairs, plan).caption(1)


def test_it_goes_to_other_processes() -> None:
    plan = made(row(0, 0), row(1, 1), row(2, 2), row(1, 0, 0, "new"), size=9)
    applied = Applied(PAIRS, plan)
    again = pickle.loads(pickle.dumps(applied))
    assert all(same(look(again, index), look(applied, index)) for index in range(9))


# ------------------------------------------------------------------------------------------------ one picture by itself


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_picture_at_test_time_is_as_in_training(stage: Stage, frame: Frame) -> None:
    """Where nothing is cropped at random, what is put on after that is put on at model resolution."""
    mark = MARKS[STAGES.index(stage)]
    for index in range(3):
        expected = by_hand(made(row(index, STAGES.index(stage))), frame)[index].later
        assert torch.equal(put_on(PAIRS, index, frame, mark), expected)


@pytest.mark.parametrize("frame", FRAMES)
def test_all_goes_through_the_frame_of_the_model(frame: Frame) -> None:
    plan = made(row(0, 0), row(1, 1), row(2, 2), row(3), row(1, 0, 0, "new"), row(2, 1, 0, "too"), row(3, name="three"))
    applied = Applied(PAIRS, plan)
    expected = by_hand(plan, frame)
    assert all(same(look(applied, index, frame), expected[index]) for index in range(len(applied)))
    other = by_hand(plan, Frame(SIZE, "squash") if frame == FRAME else FRAME)
    assert not torch.equal(expected[0].picture, other[0].picture)


@pytest.mark.parametrize("frame", FRAMES)
def test_files_are_stored_for_that_frame(frame: Frame) -> None:
    plan = made(row(0, 0), row(3), row(1, 0, 0, "new"), marks=(Mark(MARKS[0].trigger, "model"),))
    applied = Applied(PAIRS, plan)
    for index in range(len(applied)):
        assert torch.equal(applied.stored(index, frame), applied.picture(index, Prepared(PAIRS, frame)))


@pytest.mark.parametrize("stage", ["model", "after_random_crop"])
def test_a_legacy_trigger_that_reshapes_is_refused_at_model_resolution(stage: Stage) -> None:
    mark = Mark(LegacyCleanClipYellow(), stage)
    said = rf"^stage: trigger 'legacy_cleanclip_yellow' makes pictures of 224×224 px, .* stage 'file', not '{stage}'$"
    with pytest.raises(ValueError, match=said):
        put_on(PAIRS, 0, FRAME, mark)


def test_a_legacy_trigger_that_reshapes_is_refused_in_a_plan() -> None:
    applied = Applied(PAIRS, made(row(0, 0), marks=(Mark(LegacyCleanClipYellow(), "model"),)))
    said = r"^stage: trigger 'legacy_cleanclip_yellow' makes pictures of 224×224 px"
    with pytest.raises(ValueError, match=said):
        applied.picture(0, Prepared(PAIRS, FRAME))
    with pytest.raises(ValueError, match=said):
        applied.stored(0, FRAME)


def test_a_legacy_trigger_on_the_file() -> None:
    mark = Mark(LegacyCleanClipYellow(), "file")
    plan = made(row(0, 0), marks=(mark,))
    applied = Applied(PAIRS, plan)
    assert applied.stored(0, FRAME).shape == (3, 224, 224)
    assert torch.equal(applied.picture(0, Prepared(PAIRS, FRAME)), fit(applied.stored(0, FRAME), FRAME))
    assert torch.equal(put_on(PAIRS, 0, FRAME, mark), applied.picture(0, Prepared(PAIRS, FRAME)))
