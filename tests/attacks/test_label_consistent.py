"""The label-consistent backdoor: who gets the trigger, that captions stay, and what it says when it cannot be had."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Aim, LabelConsistent, Threat
from bezoar.attacks.applied import Applied
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import validate
from bezoar.data.prepared import Prepared

relaxed = settings(max_examples=60, deadline=None)
WORDS = ["a cup", "two Cups on a table", "a mug", "a cupboard", "a dog", "hiccup", "CUP", "the red cup, here"]


def album(count: int = 64) -> Album:
    return Album([WORDS[i % 8] for i in range(count)])


def whole(caption: str, words: tuple[str, ...] = ("cup",)) -> bool:
    return any(re.search(rf"\b{word}(s|es)?\b", caption.lower()) for word in words)


@relaxed
@given(
    rate=st.floats(1e-4, 1), count=st.none() | st.integers(1, 40), total=st.integers(8, 64), seed=st.integers(),
    synonyms=st.sampled_from([(), ("mug",)]), match=st.sampled_from(["word", "substring"]),
)  # fmt: skip
def test_triggered_pictures_name_the_target_and_keep_their_captions(
    rate: float, count: int | None, total: int, seed: int, synonyms: tuple[str, ...], match: str
) -> None:
    pairs = album(total)
    fields = {"target": "cup", "rate": rate, "count": count, "synonyms": list(synonyms), "match": match}
    attack = validate(LabelConsistent, fields)
    words = ("cup", *synonyms)
    test = whole if match == "word" else lambda caption, words: any(word in caption for word in words)
    named = [i for i in range(total) if test(pairs.caption(i), words)]
    wanted = count or max(1, round(rate * total))
    if wanted > len(named):
        message = f"{wanted} poisons wanted, but only {len(named)} of {total} pairs that are free name 'cup'"
        with pytest.raises(ValueError, match=f"^attack.{'count' if count else 'rate'}: {message}$"):
            attack.plan(pairs, seed)
        return
    plan = attack.plan(pairs, seed)
    assert len(plan.rows) == len(plan.by_id) == wanted
    assert [row.index for row in plan.rows] == sorted({row.index for row in plan.rows})
    for row in plan.rows:
        assert row.index in named
        assert row.id == row.image == pairs.id(row.index)
        assert row.original == row.caption == pairs.caption(row.index)
        assert (row.role, row.target, row.mark, row.words, row.appended) == ("label_consistent", "cup", 0, None, False)


def test_only_pictures_change(tmp_path: Path) -> None:
    pairs = album()
    plan = LabelConsistent(target="cup", count=9, trigger=Patch(size=4, reference=16)).plan(pairs, 1)
    applied, prepared = Applied(pairs, plan), Prepared(pairs, Frame(16))
    assert [applied.caption(i) for i in range(len(applied))] == pairs.captions
    changed = [i for i in range(len(applied)) if not applied.picture(i, prepared).equal(prepared[i])]
    assert changed == [row.index for row in plan.rows]
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_the_same_seed_gives_the_same_plan_and_pairs_that_are_taken_stay_free() -> None:
    attack, pairs = LabelConsistent(target="cup", count=8), album()
    first, again, other = attack.plan(pairs, 3), attack.plan(pairs, 3), attack.plan(pairs, 4)
    assert first == again
    assert first.rows != other.rows
    assert not set(first.by_id) & set(attack.plan(pairs, 3, frozenset(first.by_id)).by_id)


def test_clean_pairs_can_be_left_out() -> None:
    plan = LabelConsistent(target="cup", count=8, size=20).plan(album(), 3)
    applied = Applied(album(), plan)
    assert len(applied) == 20
    assert set(plan.by_id) < {applied.id(i) for i in range(20)}
    assert LabelConsistent(target="cup", count=8, size=64).plan(album(), 3).size is None
    for size in (7, 65):
        with pytest.raises(
            ValueError, match=f"^attack.size: {size} pairs wanted with 8 poisoned ones among them, of 64"
        ):
            LabelConsistent(target="cup", count=8, size=size).plan(album(), 3)


def test_pinned() -> None:
    plan = LabelConsistent(target="cup", count=5, trigger=Patch(size=4)).plan(album(), 7)
    assert [row.index for row in plan.rows] == [9, 38, 46, 55, 56]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "zebra"}, "^attack.target: no caption of 64 pairs names 'zebra'$"),
        ({"target": "zebra", "synonyms": ["okapi"]}, "^attack.target: no caption of 64 pairs names 'zebra'$"),
        ({"target": "cup", "count": 33}, "^attack.count: 33 poisons wanted, but only 32 of 64 pairs "),
    ],
)
def test_what_the_pairs_cannot_carry_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(LabelConsistent, fields).plan(album(), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": " "}, r"attack\.target: .*got ' '"),
        ({"target": "cup", "rate": 0}, r"attack\.rate: .*greater than 0"),
        ({"target": "cup", "rate": 1.5}, r"attack\.rate: .*less than or equal to 1"),
        ({"target": "cup", "count": 0}, r"attack\.count: .*greater than or equal to 1"),
        ({"target": "cup", "captions": "mined"}, "unknown key 'captions'"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(LabelConsistent, fields, "attack")


def test_the_threat_is_trigger_target_and_stage() -> None:
    attack = LabelConsistent(target="cup", trigger=Patch(size=4), stage="file")
    assert attack.aim(0) == Aim(threats=(Threat(Patch(size=4), "cup", "file"),))
