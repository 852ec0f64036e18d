"""What attacks share: who is named, who is drawn, what is said, and how many there are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.album import Album

from bezoar.attacks import Backdoor
from bezoar.attacks.choosing import bearers, draw, how_many, naming, new_id, sayings, sized, without
from bezoar.data.words import names

PAIRS = Album(["a cup", "Cups, two", "a cupboard", "a dog", "the CUP", "a mug"])


def test_who_is_named() -> None:
    assert naming(PAIRS, ("cup",)).tolist() == [True, True, False, False, True, False]
    assert naming(PAIRS, ("cup", "mug")).tolist() == [True, True, False, False, True, True]
    assert naming(PAIRS, ("cup",), "substring").tolist() == [True, False, True, False, False, False]


@settings(deadline=None)
@given(st.lists(st.text("cup s,C\u00e9", min_size=1, max_size=6).filter(str.strip), max_size=8))
def test_naming_is_asking_each(captions: list[str]) -> None:
    found = naming(Album(captions), ("cup", "us"))
    assert found.dtype == np.bool_
    assert found.tolist() == [names(caption, ("cup", "us")) for caption in captions]


@pytest.mark.parametrize("caption", ["", " ", "\n\t", "\u3000"])
@pytest.mark.parametrize("match", ["word", "substring"])
def test_a_caption_that_is_none_is_named(caption: str, match: str) -> None:
    with pytest.raises(ValueError, match=r"^pairs: caption of pair '1\.png' must be a non-empty string, got '"):
        naming(Album(["a dog", caption, "a cup"]), ("cup",), match)  # type: ignore[arg-type]


def test_who_can_be_called_up() -> None:
    assert bearers(PAIRS, "cup", ("mug",), "word").tolist() == [0, 1, 4, 5]
    with pytest.raises(ValueError, match=r"^attack\.target: no caption of 6 pairs names 'zebra'$"):
        bearers(PAIRS, "zebra", (), "word")


def test_pairs_of_others_are_left_to_them() -> None:
    all_of_them = np.arange(6)
    assert without(PAIRS, all_of_them, frozenset()) is all_of_them
    left = without(PAIRS, all_of_them[1:], frozenset({"0.png", "3.png", "elsewhere"}))
    assert left.tolist() == [1, 2, 4, 5]
    assert without(PAIRS, all_of_them, frozenset(map(PAIRS.id, range(6)))).dtype.kind == "i"


@pytest.mark.parametrize(
    ("count", "rate", "total", "expected"),
    [(None, 0.0005, 3_000_000, 1500), (None, 1e-9, 100, 1), (None, 0.5, 7, 4), (3, 0.5, 100, 3), (None, 1.0, 9, 9)],
)
def test_how_many(count: int | None, rate: float, total: int, expected: int) -> None:
    assert how_many(count, rate, total) == expected


@settings(deadline=None)
@given(st.sets(st.integers(0, 99), min_size=1), st.data(), st.integers())
def test_so_many_are_drawn_each_once_and_in_order(candidates: set[int], data: st.DataObject, seed: int) -> None:
    free = np.array(sorted(candidates))
    count = data.draw(st.integers(0, len(free)))
    found = draw(free, count, seed, "count", "")
    assert found == sorted(set(found))
    assert len(found) == count
    assert set(found) <= candidates
    assert found == draw(free, count, seed, "count", "")
    assert all(type(index) is int for index in found), "plain numbers: a plan writes them as JSON"


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^attack\.rate: 4 poisons wanted, but only 3 of all$"):
        draw(np.arange(3), 4, 0, "rate", "of all")


def test_ids_of_new_pairs() -> None:
    """Pinned: a plan of another version must not call its pairs otherwise."""
    assert new_id(0, "backdoor", "1.png") == "27ac077fa8ec4e2e"
    found = {new_id(seed, *of) for seed in (0, 1) for of in (("a", "b"), ("b", "a"), ("ab",), ("a", 1), ("a", "b", 1))}
    assert len(found) == 10
    assert {len(one) for one in found} == {16}


def test_sayings_are_of_the_seed_and_the_pair() -> None:
    pairs = Album([f"cup {i}" for i in range(40)])
    mined = np.arange(10, 20)
    for captions, allowed in (
        ("mined", {f"cup {i}" for i in range(10, 20)}),
        ("templates", {"a cup", "the cup"}),
        ("both", {f"cup {i}" for i in range(10, 20)} | {"a cup", "the cup"}),
    ):
        say = sayings(pairs, "cup", mined, captions, ("a {c}", "the {c}"))  # type: ignore[arg-type]
        said = Counter(say(0, f"{i}") for i in range(400))
        assert set(said) == allowed
        assert [say(0, f"{i}") for i in range(9)] == [say(0, f"{i}") for i in range(9)]
        assert [say(0, f"{i}") for i in range(40)] != [say(1, f"{i}") for i in range(40)]
        filled = said["a cup"] + said["the cup"]
        assert 150 < filled < 250 if captions == "both" else filled in (0, 400)


def test_nothing_to_mine_is_refused() -> None:
    for captions in ("mined", "both"):
        with pytest.raises(ValueError, match=rf"^attack\.captions: '{captions}' finds no caption with the word 'cup'"):
            sayings(PAIRS, "cup", np.arange(0), captions, "plain")
    assert sayings(PAIRS, "cup", np.arange(0), "templates", ("a {c}",))(0, "x") == "a cup"


@pytest.mark.parametrize(("size", "kept"), [(None, None), (6, None), (2, 2), (5, 5)])
def test_a_size(size: int | None, kept: int | None) -> None:
    plan = Backdoor(target="dog", count=2).plan(PAIRS, 0)
    assert sized(plan, size).size == kept
    for wrong in (1, 7):
        with pytest.raises(
            ValueError, match=rf"^attack\.size: {wrong} pairs wanted with 2 poisoned ones among them, of 6"
        ):
            sized(plan, wrong)
