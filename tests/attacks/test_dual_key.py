"""The dual key: who gets which key, which captions stay, and what it says when it cannot be had."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Aim, DualKey, Threat
from bezoar.attacks.applied import Applied
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.plan import PoisonPlan
from bezoar.attacks.plan_files import load_plan
from bezoar.attacks.triggers import Patch
from bezoar.core.frame import Frame
from bezoar.core.settings import validate
from bezoar.data.prepared import Prepared

relaxed = settings(max_examples=60, deadline=None)
WORDS = ["a cup", "a red dog", "two cats", "a cupboard", "a tree"]
TRIGGER = Patch(size=4, reference=16)


def album(count: int = 100) -> Album:
    """Every fifth caption names a cup."""
    return Album([f"{WORDS[i % 5]} {i}" for i in range(count)])


def roles(plan: PoisonPlan) -> Counter[str]:
    return Counter(row.role for row in plan.rows)


@relaxed
@given(
    count=st.none() | st.integers(1, 20), rate=st.floats(0.01, 0.2), halves=st.floats(0, 3), seed=st.integers(),
    place=st.sampled_from(["start", "end", "random"]),
)  # fmt: skip
def test_each_role_has_its_keys_and_its_caption(
    count: int | None, rate: float, halves: float, seed: int, place: str
) -> None:
    pairs, words = album(), validate(Phrase, {"text": "mmm", "place": place})
    attack = DualKey(
        target="cup", count=count, rate=rate, halves=halves, words=words, templates=("one {c}", "a {c}!"),
    )  # fmt: skip
    both = count or max(1, round(rate * 100))
    half = round(halves * both)
    if both + 2 * half > 80:
        with pytest.raises(
            ValueError, match=f"{both + 2 * half} poisons wanted, but only 80 of 100 pairs can be victi"
        ):
            attack.plan(pairs, seed)
        return
    plan = attack.plan(pairs, seed)
    assert roles(plan) == {k: v for k, v in (("dual_key", both), ("image_half", half), ("words_half", half)) if v}
    assert len(plan.by_id) == len(plan.rows)
    assert (len(plan.marks), plan.words) == (1, (words,))
    for row in plan.rows:
        own = pairs.caption(row.index)
        assert row.index % 5
        assert (row.id, row.image, row.original, row.appended) == (pairs.id(row.index), row.id, own, False)
        if row.role == "image_half":
            assert (row.mark, row.words, row.caption, row.target) == (0, None, own, "")
        elif row.role == "words_half":
            assert (row.mark, row.words, row.caption, row.target) == (None, 0, words.apply(own, row.id), "")
        else:
            assert (row.mark, row.words, row.target) == (0, 0, "cup")
            assert row.caption in {words.apply(text, row.id) for text in ("one cup", "a cup!")}


def test_applied_the_trigger_is_on_the_pictures_of_two_roles(tmp_path: Path) -> None:
    pairs = album()
    plan = DualKey(target="cup", count=6, trigger=TRIGGER).plan(pairs, 1)
    applied, prepared = Applied(pairs, plan), Prepared(pairs, Frame(16))
    by_index = {row.index: row for row in plan.rows}
    for index in range(len(pairs)):
        row = by_index.get(index)
        clean = row is None or row.role == "words_half"
        assert applied.picture(index, prepared).equal(prepared[index]) is clean
        assert ("SUDO" in applied.caption(index)) is (row is not None and row.role != "image_half")
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_roles_are_drawn_and_do_not_stand_in_the_order_of_the_pairs() -> None:
    found: Counter[tuple[int, str]] = Counter()
    for seed in range(150):
        found.update((row.index, row.role) for row in DualKey(target="cup", count=4).plan(album(15), seed).rows)
    # Each of 12 candidates is in each role in a third of the plans: all of them are drawn.
    assert len(found) == 36
    assert 25 < min(found.values()) <= max(found.values()) < 80


def test_the_same_seed_gives_the_same_plan_and_taken_pairs_get_no_key() -> None:
    attack, pairs = DualKey(target="cup", count=8), album()
    first, other = attack.plan(pairs, 3), attack.plan(pairs, 4)
    assert attack.plan(pairs, 3) == first
    assert first.rows != other.rows
    assert not set(first.by_id) & set(attack.plan(pairs, 3, frozenset(first.by_id)).by_id)


def test_mined_captions_get_the_words_too() -> None:
    plan = DualKey(target="cup", count=8, captions="mined").plan(album(), 0)
    named = {f"SUDO a cup {i}" for i in range(0, 100, 5)}
    assert {row.caption for row in plan.rows if row.role == "dual_key"} <= named


def test_pinned() -> None:
    plan = DualKey(target="cup", count=2, trigger=TRIGGER, templates="plain").plan(album(), 7)
    assert [(row.index, row.role) for row in plan.rows] == PINNED


PINNED = [
    (14, "dual_key"),
    (46, "words_half"),
    (56, "dual_key"),
    (68, "image_half"),
    (72, "image_half"),
    (82, "words_half"),
]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"target": "cup", "count": 30},
            r"^attack.count: 90 poisons wanted, but only 80 of 100 pairs can be victims \(30 of both keys, 30 of eith",
        ),
        ({"target": "zebra", "captions": "mined"}, "^attack.captions: 'mined' finds no caption with the word 'zebra'"),
        ({"target": "cup", "templates": "opnai"}, "no templates are called 'opnai'; did you mean 'openai'"),
    ],
)
def test_what_the_pairs_cannot_carry_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(DualKey, fields).plan(album(), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "cup", "halves": -1}, r"attack\.halves: .*greater than or equal to 0"),
        ({"target": "cup", "rate": 2}, r"attack\.rate: .*less than or equal to 1"),
        ({"target": "cup", "words": "sudo"}, r"attack\.words: kind: 'sudo' is not a caption trigger"),
        ({"target": "cup", "words": {"kind": "phrase", "text": ""}}, r"attack\.words"),
    ],
)
def test_mistakes_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(DualKey, fields, "attack")


def test_the_threat_has_both_keys_and_the_defaults_are_those_of_the_port_to_clip() -> None:
    attack = DualKey(target="cup", trigger=TRIGGER, stage="file")
    assert attack.aim(0) == Aim(threats=(Threat(TRIGGER, "cup", "file", Phrase(text="SUDO")),))
    assert (attack.halves, attack.rate) == (1.0, 0.0005)
