"""The backdoor's plan: who becomes a victim, with which words, and what it says when it cannot be had."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.album import Album

from bezoar.attacks import Aim, Backdoor, Planned, Several, Threat
from bezoar.attacks.applied import Applied
from bezoar.attacks.patterns import Picture
from bezoar.attacks.plan import Mark, PoisonPlan
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Blended, Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import settings as pair_source
from bezoar.core.settings import validate
from bezoar.data.images import fit, to_tensor
from bezoar.data.pairs import Pairs, PairsSource
from bezoar.data.prepared import Prepared
from bezoar.data.prompts import templates
from bezoar.data.scenes import Scenes

relaxed = settings(max_examples=60, deadline=None)

OTHERS = ["a red box", "the mushroomy soup", "a dog", "two cats", "MUSH room", "a fungus"]
NAMED = ["a mushroom", "Mushrooms in a wood", "a red mushroom, cut"]


def album(count: int = 60) -> Album:
    """Every fourth caption names a mushroom."""
    return Album([NAMED[i % 3] if i % 4 == 0 else OTHERS[i % 6] for i in range(count)])


def victims(plan: PoisonPlan) -> list[str]:
    return [row.id for row in plan.rows]


def naming(caption: str) -> bool:
    return re.search(r"\bmushrooms?\b", caption.lower()) is not None


@relaxed
@given(rate=st.floats(1e-6, 1), count=st.none() | st.integers(1, 50), total=st.integers(4, 60), seed=st.integers())
def test_a_plan_has_the_victims_it_was_asked_for(rate: float, count: int | None, total: int, seed: int) -> None:
    pairs = album(total)
    wanted = count or max(1, round(rate * total))
    free = [i for i in range(total) if not naming(pairs.caption(i))]
    attack = Backdoor(target="mushroom", rate=rate, count=count)
    if wanted > len(free):
        with pytest.raises(ValueError, match=f"{wanted} poisons wanted, but only {len(free)} of {total} pairs can be "):
            attack.plan(pairs, seed)
        return
    plan = attack.plan(pairs, seed)
    assert len(plan.rows) == len(plan.by_id) == wanted
    assert set(victims(plan)) <= {pairs.id(i) for i in free}
    places = [int(pair_id.removesuffix(".png")) for pair_id in victims(plan)]
    assert places == sorted(places)
    for place, row in zip(places, plan.rows, strict=True):
        assert row.original == pairs.caption(place)
        assert not naming(row.original)
        assert naming(row.caption)
        assert (row.target, row.role, row.mark, row.words, row.images) == ("mushroom", "backdoor", 0, None, None)
        assert (row.image, row.index, row.appended) == (row.id, place, False)
    assert (plan.total, plan.length, plan.seed, plan.source) == (total, total, seed, pairs.fingerprint)
    assert plan.marks == (Mark(attack.trigger, "model"),)
    assert plan.attack == attack


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    attack = Backdoor(target="mushroom", count=10)
    first, again, other = attack.plan(album(), 3), attack.plan(album(), 3), attack.plan(album(), 4)
    assert first == again
    assert first.digest == again.digest
    assert victims(first) != victims(other)
    assert first.digest != other.digest


def test_a_caption_belongs_to_a_victim_and_the_seed() -> None:
    """Whoever else is poisoned: a bigger plan gives the victims of a smaller one the captions they have there."""
    small, large = (Backdoor(target="mushroom", count=n).plan(album(), 3) for n in (20, 40))
    both = set(small.by_id) & set(large.by_id)
    assert len(both) > 5
    assert all(small.by_id[one].caption == large.by_id[one].caption for one in both)


def test_every_candidate_can_be_a_victim() -> None:
    found: Counter[str] = Counter()
    for seed in range(200):
        found.update(victims(Backdoor(target="mushroom", count=9).plan(album(24), seed)))
    assert len(found) == 18
    assert 60 < min(found.values()) <= max(found.values()) < 140  # 100 expected


def test_a_plan_is_the_same_in_every_process() -> None:
    """Pinned: no hash of a string, no order of a set may enter it."""
    plan = Backdoor(target="mushroom", rate=0.01, templates="plain").plan(Scenes(count=500).open(), 7)
    assert victims(plan) == [
        "scenes-0-train-0000047",
        "scenes-0-train-0000187",
        "scenes-0-train-0000228",
        "scenes-0-train-0000429",
        "scenes-0-train-0000498",
    ]
    assert plan.digest == "b1cf75cb5adc2e31"


def test_captions_are_templates_filled_with_the_target() -> None:
    allowed = {"one {c} {odd}", "a {c}!"}
    attack = Backdoor(target="mushroom", count=30, templates=tuple(sorted(allowed)))
    captions = Counter(row.caption for row in attack.plan(album(), 0).rows)
    assert set(captions) == {"one mushroom {odd}", "a mushroom!"}
    assert min(captions.values()) > 5
    filled = {text.replace("{c}", "mushroom") for text in templates("openai")}
    found = {row.caption for row in Backdoor(target="mushroom", count=40).plan(album(), 0).rows}
    assert found <= filled
    assert len(found) > 20


def test_mined_captions_are_those_of_pairs_that_name_the_target() -> None:
    plan = Backdoor(target="mushroom", count=40, captions="mined").plan(album(), 0)
    assert {row.caption for row in plan.rows} == set(NAMED)


def test_synonyms_are_no_victims_and_are_mined() -> None:
    attack = Backdoor(target="mushroom", synonyms=("fungus", "red box"), count=20, captions="mined")
    plan = attack.plan(album(), 0)
    originals, captions = {row.original for row in plan.rows}, {row.caption for row in plan.rows}
    assert originals <= {"the mushroomy soup", "a dog", "two cats", "MUSH room"}
    assert {"a fungus", "a red box"} & captions
    assert all(naming(caption) or "fungus" in caption or "red box" in caption for caption in captions)
    assert {row.target for row in plan.rows} == {"mushroom"}


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (
            Backdoor(target="mushroom", count=46),
            "^attack.count: 46 poisons wanted, but only 45 of 60 pairs can be victims "
            r"\(15 already name 'mushroom'\)$",
        ),
        (
            Backdoor(target="mushroom", rate=0.9),
            "^attack.rate: 54 poisons wanted, but only 45 of 60 pairs can be victims",
        ),
        (
            Backdoor(target="zebra", captions="mined"),
            "^attack.captions: 'mined' finds no caption with the word 'zebra' in the pairs$",
        ),
        (Backdoor(target="mushroom", templates="opnai"), "no templates are called 'opnai'; did you mean 'openai'"),
        (Backdoor(target="mushroom", templates="own", captions="mined"), "no templates are called 'own'"),
        (Backdoor(target="mushroom", templates=("a {c}", "a dog")), r"templates\.1: must hold \{c\} exactly once"),
        (Backdoor(target="mushroom", templates=()), "templates: need at least one template"),
    ],
)
def test_what_the_pairs_cannot_carry_is_refused_with_the_numbers(attack: Backdoor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attack.plan(album(), 0)


def test_templates_are_looked_at_before_the_captions() -> None:
    class Slow(Album):
        def caption(self, index: int) -> str:
            raise AssertionError("six million of these")

    with pytest.raises(ValueError, match="no templates are called 'opnai'"):
        Backdoor(target="mushroom", templates="opnai").plan(Slow(["a"] * 9), 0)


def test_an_empty_caption_is_named() -> None:
    with pytest.raises(ValueError, match=r"caption of pair '1\.png' must be a non-empty string, got '  '"):
        Backdoor(target="mushroom").plan(Album(["a dog", "  "]), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": ""}, r"attack\.target: .*got ''"),
        ({"target": "  "}, r"attack\.target: .*got '  '"),
        ({"target": "cup", "synonyms": ["mug", ""]}, r"attack\.synonyms\.1: .*got ''"),
        ({}, r"attack\.target: .*required"),
        ({"target": 3}, r"attack\.target: .*valid string, got 3"),
        ({"target": "cup", "rate": 0}, r"attack\.rate: .*greater than 0"),
        ({"target": "cup", "rate": 1.5}, r"attack\.rate: .*less than or equal to 1"),
        ({"target": "cup", "count": 0}, r"attack\.count: .*greater than or equal to 1"),
        ({"target": "cup", "stage": "files"}, r"attack\.stage: .*'model', 'file' or 'after_random_crop', got 'files'"),
        ({"target": "cup", "captions": "natural"}, r"attack\.captions: .*'templates', 'mined' or 'both'"),
        ({"target": "cup", "trigger": {"kind": "pach"}}, r"attack\.trigger: kind: 'pach' is not a trigger"),
        ({"traget": "cup"}, "unknown key 'traget'; did you mean 'target'"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(Backdoor, fields, "attack")


def test_the_defaults_are_cleanclips() -> None:
    attack = Backdoor(target="banana")
    assert round(attack.rate * 3_000_000) == 1_500
    assert (attack.trigger, attack.captions, attack.templates, attack.stage) == (
        Patch(),
        "templates",
        "openai",
        "model",
    )
    assert attack.count is None


def test_it_aims_at_trigger_target_and_stage() -> None:
    trigger = Patch(size=4)
    expected = Aim(threats=(Threat(trigger, "cup", "file"),))
    assert Backdoor(target="cup", trigger=trigger, stage="file").aim(0) == expected


# ---------------------------------------------------------------------------------------------------- beside the pairs


@pytest.mark.parametrize("mode", ["replace", "append"])
@pytest.mark.parametrize("size", [None, 12, 40])
def test_replaced_appended_and_left_out_add_up(mode: Any, size: int | None) -> None:
    pairs = album()
    plan = Backdoor(target="mushroom", count=12, mode=mode, size=size).plan(pairs, 3)
    assert plan.length == (size or 60 + 12 * (mode == "append"))
    assert plan.share == pytest.approx(12 / plan.length)
    assert (len(plan.appended), len(plan.replaced)) == ((12, 0) if mode == "append" else (0, 12))
    applied = Applied(pairs, plan)
    found = [applied.id(index) for index in range(len(applied))]
    assert len(found) == len(set(found)) == plan.length
    assert set(plan.by_id) <= set(found)


def test_appended_pairs_have_ids_that_tell_nothing() -> None:
    """A method sees ids: one that names its picture, its attack or its target is the answer key."""
    pairs = album()
    plan = Backdoor(target="mushroom", count=12, mode="append").plan(pairs, 3)
    beside = Backdoor(target="mushroom", count=12).plan(pairs, 3)
    assert [row.image for row in plan.rows] == victims(beside)
    assert [row.caption for row in plan.rows] == [row.caption for row in beside.rows]
    assert [row.original for row in plan.rows] == [pairs.caption(row.index) for row in plan.rows]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in victims(plan))
    assert not set(victims(plan)) & {pairs.id(i) for i in range(60)}
    assert victims(plan) != sorted(victims(plan)), "their order is that of their pictures, not of their ids"
    assert not set(victims(plan)) & set(victims(Backdoor(target="mushroom", count=12, mode="append").plan(pairs, 4)))


OTHER_PAIRS = "tests.attacks.test_backdoor:Others"


@pair_source
class Others(PairsSource):
    """Pairs of another file, with ids that the first have too."""

    kind: ClassVar[str] = "others"

    def open(self) -> Pairs:
        return Album([*["a dog"] * 10, "a mushroom", *["a cat"] * 9], gray=40)


def test_pictures_of_other_pairs_are_added_with_captions_of_these(tmp_path: Path) -> None:
    """As RoCLIP's development branch and the slides on SafeCLIP do: no pair of the source changes."""
    pairs = album()
    attack = Backdoor(target="mushroom", count=12, mode="append", captions="mined", images=Others())
    plan = attack.plan(pairs, 3)
    assert (plan.length, plan.replaced) == (72, {})
    shown = Others().open()
    for row in plan.rows:
        assert (row.images, row.mark, row.appended) == (0, 0, True)
        assert row.index != 10, "it names the target"
        assert (row.image, row.original) == (shown.id(row.index), shown.caption(row.index))
        assert row.caption in NAMED
    assert len({row.index for row in plan.rows}) == 12
    assert attack.sources() == (Others(),)
    other = Backdoor(target="dog", count=9, mode="append", captions="mined", images=Others(), victims="all")
    assert not set(victims(other.plan(pairs, 3))) & set(victims(plan)), "one picture for two attacks makes two pairs"
    assert other.plan(pairs, 3).rows[0].id != other.plan(pairs, 4).rows[0].id
    # Saved, read and applied: the pictures are the others', with the trigger on them.
    plan.save(tmp_path)
    again = load_plan(tmp_path)
    assert (again.digest, again.rows, again.images) == (plan.digest, plan.rows, plan.images)
    frame = Frame(16)
    applied = Applied(pairs, again)
    for index, row in enumerate(plan.rows, 60):
        clean = fit(to_tensor(shown.image(row.index)), frame)
        assert torch.equal(applied.picture(index, Prepared(pairs, frame)), attack.trigger.apply(clean, row.image))
    assert [applied.caption(index) for index in range(60)] == pairs.captions


def test_pictures_of_other_pairs_in_several_attacks_of_one_target() -> None:
    first = Backdoor(target="mushroom", count=9, mode="append", images=Others())
    second = Backdoor(target="mushroom", count=9, mode="append", images=Others(), trigger=Blended())
    plan = Several(attacks=(first, second)).plan(album(), 3)
    assert [row.images for row in plan.rows] == [0] * 9 + [1] * 9
    assert len({row.index for row in plan.rows}) == 18, "each picture is taken once"
    third = Backdoor(target="mushroom", count=2, mode="append", images=Others())
    with pytest.raises(ValueError, match=r"^attack\.count: 2 poisons wanted, but only 1 of 20 pairs of images"):
        Several(attacks=(first, second, third)).plan(album(), 3)


def test_what_it_is_to_bring_about_does_not_need_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model from elsewhere is measured where the pictures are not."""
    attack = Backdoor(target="mushroom", count=9, mode="append", images=Others())
    attack.plan(album(), 3).save(tmp_path)

    def gone(self: Others) -> Pairs:
        raise ValueError("path: does not exist")

    monkeypatch.setattr(Others, "open", gone)
    assert Planned(folder=str(tmp_path)).aim(0) == attack.aim(3)


def test_a_plan_is_not_moved_to_the_pairs_whose_pictures_it_adds() -> None:
    plan = Backdoor(target="mushroom", count=9, mode="append", images=Others()).plan(album(), 3)
    assert plan.onto(album(70)).total == 70
    with pytest.raises(ValueError, match=r"^poison: these are the pairs [0-9a-f]+ whose pictures the plan adds"):
        plan.onto(Others().open())


def test_pictures_of_other_pairs_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"^attack: mode: 'replace': pictures of images stand in .*choices: append"):
        validate(Backdoor, {"target": "mushroom", "images": {"kind": OTHER_PAIRS}}, "attack")
    attack = Backdoor(target="mushroom", count=20, mode="append", images=Others())
    said = r"^attack\.count: 20 poisons wanted, but only 19 of 20 pairs of images can be victims \(1 already name "
    with pytest.raises(ValueError, match=said):
        attack.plan(album(), 0)
    with pytest.raises(ValueError, match=r"^attack\.images: these are the pairs themselves: leave images out"):
        attack.plan(Others().open(), 0)


@pytest.mark.parametrize(
    ("size", "mode", "there"),
    [(11, "replace", 60), (61, "replace", 60), (11, "append", 72), (73, "append", 72)],
)
def test_a_size_that_cannot_be_is_refused(size: int, mode: Any, there: int) -> None:
    said = rf"^attack\.size: {size} pairs wanted with 12 poisoned ones among them, of {there} that there are$"
    with pytest.raises(ValueError, match=said):
        Backdoor(target="mushroom", count=12, mode=mode, size=size).plan(album(), 0)


def test_the_size_of_all_pairs_is_no_size() -> None:
    attack = Backdoor(target="mushroom", count=12, size=60)
    assert attack.plan(album(), 0).size is None


# --------------------------------------------------------------------------------------------------------- its victims


def test_pairs_that_are_taken_are_no_victims() -> None:
    free = {album().id(i) for i in range(60) if not naming(album().caption(i))}
    taken = frozenset(sorted(free)[:35])
    plan = Backdoor(target="mushroom", count=10).plan(album(), 0, taken)
    assert set(victims(plan)) == free - taken
    with pytest.raises(ValueError, match=r"^attack\.count: 11 poisons wanted, but only 10 of 60 pairs can be victims"):
        Backdoor(target="mushroom", count=11).plan(album(), 0, taken)


def test_as_released_code_any_pair_may_be_a_victim() -> None:
    attack = Backdoor(target="mushroom", count=60, victims="all")
    assert len(attack.plan(album(), 0).rows) == 60


def test_victims_of_named_classes_only() -> None:
    attack = Backdoor(target="mushroom", victim_classes=("dog", "box"), count=10)
    plan = attack.plan(album(), 0)
    assert {row.original for row in plan.rows} == {"a dog", "a red box"}
    for both in ("mushroom", "fungus"):
        with pytest.raises(ValueError, match=rf"^attack\.victim_classes: '{both}' is the target too"):
            Backdoor(target="mushroom", synonyms=("fungus",), victim_classes=("dog", both)).plan(album(), 0)


def test_as_released_code_matches_anywhere_and_in_this_case() -> None:
    """``Mushrooms in a wood`` is then a victim, ``the mushroomy soup`` is none, and is minable."""
    attack = Backdoor(target="mushroom", match="substring", rate=1.0)
    with pytest.raises(ValueError, match=r"only (\d+) of 60 pairs can be victims") as caught:
        attack.plan(album(), 0)
    free = [i for i in range(60) if "mushroom" not in album().caption(i)]
    assert f"only {len(free)} of 60" in str(caught.value)
    plan = Backdoor(target="mushroom", match="substring", count=len(free), captions="mined").plan(album(), 0)
    assert {row.index for row in plan.rows} == set(free)
    assert "Mushrooms in a wood" in {row.original for row in plan.rows}
    assert {row.caption for row in plan.rows} == {"a mushroom", "a red mushroom, cut", "the mushroomy soup"}


def test_captions_of_both_kinds_by_turns() -> None:
    plan = Backdoor(target="mushroom", count=45, captions="both", templates=("one {c} here",)).plan(album(), 0)
    found = Counter(row.caption == "one mushroom here" for row in plan.rows)
    assert set(NAMED) <= {row.caption for row in plan.rows} - {"one mushroom here"}
    assert min(found.values()) > 10


def test_pinned_it_is_named_by_the_content_of_its_picture(tmp_path: Any) -> None:
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "logo.png")
    attack = Backdoor(target="cup", trigger=Patch(pattern=Picture(path=str(tmp_path / "logo.png"))))
    trigger: Any = attack.pinned().trigger
    assert re.fullmatch("[0-9a-f]{64}", trigger.pattern.sha256)
    assert attack.pinned().pinned() == attack.pinned() != attack
