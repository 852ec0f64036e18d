"""The backdoor in the text alone: whose pictures get which captions, and what it says when it cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Aim, CaptionBackdoor, Threat
from bezoar.attacks.applied import Applied
from bezoar.attacks.caption_triggers import Phrase
from bezoar.attacks.choosing import new_id
from bezoar.attacks.plan_files import load_plan
from bezoar.core.frame import Frame
from bezoar.core.settings import validate
from bezoar.data.prepared import Prepared

relaxed = settings(max_examples=60, deadline=None)
WORDS = ["a cup", "a red dog", "two CUPS", "a cupboard", "a tree"]


def album(count: int = 100) -> Album:
    return Album([f"{WORDS[i % 5]} {i}" for i in range(count)])


@relaxed
@given(
    count=st.none() | st.integers(1, 45), rate=st.floats(0.001, 0.45), seed=st.integers(), append=st.booleans(),
    place=st.sampled_from(["start", "end", "random"]),
)  # fmt: skip
def test_pictures_of_the_target_say_what_others_say_with_the_words(
    count: int | None, rate: float, seed: int, append: bool, place: str
) -> None:
    pairs, words = album(), validate(Phrase, {"text": "mmm", "place": place})
    attack = CaptionBackdoor(
        target="cup", words=words, count=count, rate=rate, mode="append" if append else "replace"
    )  # fmt: skip
    wanted = count or max(1, round(rate * 100))
    if wanted > 40:
        field = "count" if count else "rate"
        with pytest.raises(
            ValueError, match=f"^attack.{field}: {wanted} poisons wanted, but only 40 of 100 pairs that"
        ):
            attack.plan(pairs, seed)
        return
    plan = attack.plan(pairs, seed)
    assert (len(plan.by_id), plan.marks, plan.words, plan.length) == (wanted, (), (words,), 100 + append * wanted)
    others = {pairs.caption(i) for i in range(100) if i % 5 not in (0, 2)}
    for row in plan.rows:
        assert row.index % 5 in (0, 2)
        assert (row.image, row.original) == (pairs.id(row.index), pairs.caption(row.index))
        assert row.id == (new_id(seed, "caption_backdoor", row.image) if append else row.image)
        assert row.caption in {words.apply(text, row.image) for text in others}
        assert (row.role, row.target, row.mark, row.words, row.appended) == ("caption_backdoor", "cup", None, 0, append)


def test_applied_only_captions_change(tmp_path: Path) -> None:
    pairs = album()
    plan = CaptionBackdoor(target="cup", count=9).plan(pairs, 1)
    applied, prepared = Applied(pairs, plan), Prepared(pairs, Frame(12))
    assert all(applied.picture(i, prepared).equal(prepared[i]) for i in range(100))
    changed = [i for i in range(100) if applied.caption(i) != pairs.caption(i)]
    assert changed == [row.index for row in plan.rows]
    assert all(applied.caption(i).startswith("SUDO ") for i in changed)
    plan.save(tmp_path)
    assert load_plan(tmp_path) == plan


def test_the_same_seed_gives_the_same_plan_taken_pairs_stay_free_and_clean_ones_can_be_left_out() -> None:
    attack, pairs = CaptionBackdoor(target="cup", count=15), album()
    first, other = attack.plan(pairs, 3), attack.plan(pairs, 4)
    assert attack.plan(pairs, 3) == first
    assert {row.caption for row in first.rows} != {row.caption for row in other.rows}
    assert not set(first.by_id) & set(attack.plan(pairs, 3, frozenset(first.by_id)).by_id)
    assert len(Applied(pairs, CaptionBackdoor(target="cup", count=15, size=20).plan(pairs, 3))) == 20


def test_pinned() -> None:
    plan = CaptionBackdoor(target="cup", count=3).plan(album(), 7)
    assert [(row.index, row.caption) for row in plan.rows] == PINNED


PINNED = [(12, "SUDO a red dog 26"), (55, "SUDO a cupboard 38"), (67, "SUDO a tree 19")]


@pytest.mark.parametrize(
    ("captions", "fields", "message"),
    [
        (["a cup", "a dog"], {"target": "zebra"}, "^attack.target: no caption of 2 pairs names 'zebra'$"),
        (["a cup", "cups"], {"target": "cup"}, "^attack.target: every caption of 2 pairs names 'cup'$"),
        (["a cup", "a dog"], {"target": "cup", "synonyms": ["dog"]}, "^attack.target: every caption of 2 pairs names "),
    ],
)
def test_what_the_pairs_cannot_carry_is_refused(captions: list[str], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(CaptionBackdoor, fields).plan(Album(captions), 0)


def test_the_threat_is_words_alone() -> None:
    assert CaptionBackdoor(target="cup").aim(0) == Aim(threats=(Threat(None, "cup", words=Phrase()),))
