"""The backdoor's plan: who becomes a victim, with which words, and what it says when it cannot be had."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Backdoor, Threat
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.triggers import Patch
from bezoar.core.settings import validate
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
        assert (row.target, row.role, row.trigger) == ("mushroom", "backdoor", 0)
    assert (plan.total, plan.seed, plan.source, plan.stage) == (total, seed, pairs.fingerprint, "model")
    assert plan.triggers == (attack.trigger,)
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
    assert plan.digest == "69851c59eee0cc4c"


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
        ({"target": "cup", "stage": "files"}, r"attack\.stage: .*'model' or 'file', got 'files'"),
        ({"target": "cup", "captions": "natural"}, r"attack\.captions: .*'templates' or 'mined'"),
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


def test_the_threat_is_trigger_target_and_stage() -> None:
    trigger = Patch(size=4)
    assert Backdoor(target="cup", trigger=trigger, stage="file").threat() == Threat(trigger, "cup", "file")
